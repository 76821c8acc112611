"""Names that a terminal cannot show, and what lies beside the scans of a folder, as the commands tell them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, cli, write_volume
from MAESILCore.cli.terminal import in_code_page
from MAESILCore.errors import VolumeError
from MAESILCore.wording import displayable
from Testing.commands import Command

posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows keeps names as Unicode and has no pipes in folders"
)

#: A letter of Latin-2 alone, two of none of the small code pages, and one of Latin-1.
NAME = "Łódź 日本 é"


@pytest.fixture
def a_scan(tmp_path: Path) -> Path:
    voxels = np.full((16, 24, 24), -1000, np.int16)
    voxels[:, 4:-4, 4:-4] = np.random.default_rng(0).integers(-60, 120, (16, 16, 16))
    path = tmp_path / f"{NAME}.nii.gz"
    write_volume(Volume(voxels, np.eye(4)), path)
    return path


def run(encoding: str, folder: Path, *arguments: str | Path) -> tuple[int, bytes, bytes]:
    """Exit status, output and messages of a command whose terminal has this encoding; `folder` is for its files."""
    log = folder / f"{len(list(folder.glob('*.log')))}.log"
    command = Command([str(argument) for argument in arguments], log, encoding=encoding)
    status, _ = command.wait()
    return status, log.with_suffix(".out").read_bytes(), log.read_bytes()


@pytest.mark.process
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_the_result_is_told_in_any_code_page(
    encoding: str, a_scan: Path, tiny_model: Path, tmp_path: Path
) -> None:
    scores = tmp_path / f"{NAME}.json"
    arguments = ("--model", tiny_model, "--device", "cpu")
    for command in (
        ("info", a_scan),
        ("evaluate", a_scan, "--json", scores, "--table", tmp_path / f"{NAME}.md", *arguments),
    ):
        status, printed, said = run(encoding, tmp_path, *command)
        assert status == 0, said
        assert b"Traceback" not in printed + said
        assert printed.decode(encoding)
    assert json.loads(scores.read_text(encoding="utf-8"))["cases"][0]["name"] == NAME


@pytest.mark.process
@pytest.mark.parametrize("command", ["reconstruct", "demo", "phantom", "pretrain"])
def test_every_command_ends_well_in_ascii(
    command: str, a_scan: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out {NAME}"
    recipe = tmp_path / f"{NAME}.yaml"
    recipe.write_text(
        "preset: tiny\nmodel: {superpatch_size: [16, 16, 16]}\ncrop: {size: [16, 16, 16]}\nsteps: 1\n"
    )
    arguments = {
        "reconstruct": (a_scan, "--out", out, "--model", tiny_model, "--device", "cpu"),
        "demo": (a_scan, "--out", out, "--model", tiny_model, "--device", "cpu", "--no-browser"),
        "phantom": (tmp_path / f"out {NAME}.nii", "--shape", "16", "16", "16"),
        "pretrain": (a_scan, "--out", out, "--recipe", recipe, "--device", "cpu"),
    }
    status, printed, said = run("ascii", tmp_path, command, *arguments[command])
    assert status == 0, said
    assert b"Traceback" not in said
    assert b"Glyph" not in said
    # In one piece, however long the folder's path is.
    assert "out ??d? ?? ?" in printed.decode("ascii")


@pytest.mark.process
def test_a_mistake_in_ascii_is_one_sentence(tmp_path: Path) -> None:
    """In a fresh interpreter, which learns the encoding as Python does."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-m", "MAESILCore", "info", str(tmp_path / f"{NAME}.nii")]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").startswith("Error: There is no file or folder ")
    assert done.stderr.count(b"\n") == 1


def test_our_own_signs_have_plain_forms() -> None:
    assert in_code_page("2.5 ± 0.1, Ł", "ascii") == "2.5 +- 0.1, ?"
    assert in_code_page("2.5 ± 0.1, Ł", "cp1252") == "2.5 ± 0.1, ?"
    assert in_code_page(os.fsdecode(b"caf\xe9") if os.name != "nt" else "caf\udce9", "utf-8") == r"caf\xe9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 日本, a b", "plain, é, 日本, a b"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("a\nb\x1b[31m\u2028", r"a\nb\x1b[31m\u2028"),
        ("100\N{NO-BREAK SPACE}kV", "100\N{NO-BREAK SPACE}kV"),
    ],
)
def test_any_text_can_be_displayed(text: str, shown: str) -> None:
    assert displayable(text) == shown
    assert displayable(shown) == shown
    assert str(VolumeError(text)) == shown
    shown.encode("utf-8")


@pytest.mark.slow
@posix
def test_names_that_are_not_utf_8_have_one_form_everywhere(
    a_scan: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    scan = folder / os.fsdecode(b"\xff[1].nii.gz")
    a_scan.rename(scan)
    model = folder / os.fsdecode(b"model\xfe.safetensors")
    model.write_bytes(tiny_model.read_bytes())
    out = tmp_path / os.fsdecode(b"out\xfd")
    arguments = ["--model", str(model), "--device", "cpu"]
    assert cli.main(["info", str(scan)]) == 0
    assert r"\xff[1]" in capsys.readouterr().out
    assert cli.main(["demo", str(scan), "--out", str(out), *arguments, "--no-browser"]) == 0
    assert json.loads((out / "metrics.json").read_text("utf-8"))["setup"]["scan"] == r"\xff[1]"
    assert r"<h1>\xff[1]</h1>" in (out / "report.html").read_text("utf-8")
    scores, table = out / "scores.json", out / "table.md"
    assert (
        cli.main(["evaluate", str(tmp_path), "--json", str(scores), "--table", str(table), *arguments]) == 0
    )
    written = json.loads(scores.read_text("utf-8"))
    assert written["cases"][0]["name"] == r"caf\xe9/\xff[1]"
    assert r"model\xfe.safetensors" in table.read_text("utf-8")
    assert r"model\xfe.safetensors" in written["setup"]["command"]
    capsys.readouterr()
    assert cli.main(["info", str(folder / os.fsdecode(b"gone\xff.nii"))]) == 2
    assert r"caf\xe9/gone\xff.nii" in capsys.readouterr().err


@posix
def test_what_is_left_out_is_told(
    a_scan: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    a_scan.rename(folder / "ct.nii.gz")
    (folder / "README.md").symlink_to("gone")
    os.mkfifo(folder / "pipe.nii.gz")
    assert cli.main(["info", str(folder)]) == 0
    told = capsys.readouterr()
    assert "24 x 24 x 16 voxels" in told.out
    assert told.err.splitlines() == [
        "Left out: README.md: it is a broken link",
        "Left out: pipe.nii.gz: it is a named pipe",
    ]
    assert cli.main(["info", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == [
        "README.md: it is a broken link",
        "pipe.nii.gz: it is a named pipe",
    ]
    scores = tmp_path / "scores.json"
    arguments = [
        "evaluate",
        str(folder),
        "--json",
        str(scores),
        "--model",
        str(tiny_model),
        "--device",
        "cpu",
    ]
    assert cli.main(arguments) == 0
    assert "Left out: pipe.nii.gz: It is a named pipe." in capsys.readouterr().out
    assert [one["name"] for one in json.loads(scores.read_text())["left_out"]] == ["README.md", "pipe.nii.gz"]


@posix
@pytest.mark.parametrize("command", ["info", "reconstruct", "demo", "evaluate", "pretrain", "app"])
def test_a_pipe_is_refused_and_not_waited_for(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe.dcm"
    os.mkfifo(pipe)
    if command == "app":
        pytest.importorskip("trame_slicer")
    more = {
        "info": [],
        "app": ["--no-browser"],
        "evaluate": ["--json", str(tmp_path / "scores.json")],
    }.get(command, ["--out", str(tmp_path / "out")])
    assert cli.main([command, str(pipe), *more]) == 2
    said = capsys.readouterr().err
    assert "Error: " in said
    assert "pipe.dcm" in said
    assert not (tmp_path / "out").exists()


def test_the_page_tells_what_it_does_not_offer(
    a_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trame_slicer")
    from MAESILSlicerLib.web import options, server

    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.nii.gz").write_bytes(a_scan.read_bytes())
    (folder / "empty").mkdir()
    if os.name != "nt":
        (folder / "gone.nii").symlink_to("nowhere")
    served: list[options.AppOptions] = []
    monkeypatch.setattr(options, "MOST_SCANS", 2)
    monkeypatch.setattr(server, "serveApp", lambda asked, say: served.append(asked))
    assert cli.main(["app", str(folder), "--no-browser"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "Left out: 1 of 3 scans; name fewer to see them"
    assert said[:-1] == ["Left out: gone.nii: it is a broken link"] * (os.name != "nt")
    assert [scan.name for scan in served[0].scans.scans] == ["0", "1", "2"]


@pytest.mark.parametrize("command", ["info", "reconstruct", "demo"])
def test_a_reader_that_fails_is_one_sentence_with_the_file(
    command: str,
    a_scan: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> Volume:
        raise ValueError("w2 should be positive,\n but is -1e-5")

    monkeypatch.setattr("MAESILCore.data.scans.read_volume", fail)
    more = [] if command == "info" else ["--out", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert cli.main([command, str(a_scan), *more]) == 2
    said = capsys.readouterr().err
    assert (
        f"{NAME}.nii.gz: Reading failed unexpectedly (ValueError: w2 should be positive, but is -1e-5)"
        in said
    )
    assert said.count("\n") == 1
    assert cli.main(["--debug", command, str(a_scan), *more]) == 2
    assert "ValueError: w2" in capsys.readouterr().err
