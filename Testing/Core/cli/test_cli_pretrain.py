"""`maesil pretrain` as a person meets it: a run, a stop, a resume, two processes, and mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore import Volume, cli, load_checkpoint, write_volume
from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.volume import find_scans
from MAESILCore.methods import create
from MAESILCore.models.card import read_card
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.training import PretrainConfig, Run, load_config
from MAESILCore.training.corpus import Corpus, inspect
from MAESILCore.training.processes import share_of
from MAESILCore.training.scans import drawing_of
from MAESILCore.training.source import SampleKey
from Testing.commands import started, wait_until

RECIPE = """
preset: tiny
model: {superpatch_size: [32, 32, 32]}
crop: {size: [16, 24, 24]}
steps: 4
warmup_steps: 1
batch_size: 1
checkpoint_every: 2
preview_every: 0
"""


@pytest.fixture
def a_corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(2):
        voxels = np.random.default_rng(number).normal(0, 300, (20, 40, 40)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), folder / f"scan{number}.nii.gz")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return folder


def arguments(corpus: Path, *more: str) -> list[str]:
    return ["pretrain", str(corpus), "--out", str(corpus.parent / "run"), "--device", "cpu", *more]


def steps_of(corpus: Path) -> list[int]:
    lines = (corpus.parent / "run" / "events.jsonl").read_text().splitlines()
    return [event["step"] for event in map(json.loads, lines) if event["event"] == "step"]


def environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[3])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_run_ends_with_a_model_and_can_be_prolonged(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = str(a_corpus.parent / "recipe.yaml")
    assert cli.main(arguments(a_corpus, "--recipe", recipe)) == 0
    assert "model.safetensors" in capfd.readouterr().out.replace("\n", "")
    assert cli.main(arguments(a_corpus, "--resume", "--steps", "6")) == 0
    assert steps_of(a_corpus) == [1, 2, 3, 4, 5, 6]
    assert load_checkpoint(a_corpus.parent / "run" / "model.safetensors").card.step == 6


def test_a_run_that_is_finished_says_so_and_stays_as_it_is(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"))) == 0
    model, events = (a_corpus.parent / "run" / name for name in ("model.safetensors", "events.jsonl"))
    before = model.stat().st_mtime_ns, events.read_text()
    capfd.readouterr()
    assert cli.main(arguments(a_corpus, "--resume")) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "step 4: The run has already taken all 4 steps; to extend it, give more with --steps." in said
    assert "nan" not in said
    assert "reading" not in said
    assert (model.stat().st_mtime_ns, events.read_text()) == before
    assert cli.main(arguments(a_corpus, "--resume", "--steps", "5")) == 0
    said = capfd.readouterr().out
    assert "step 4: reading scan 1 of 2" in said
    assert "step 0" not in said


def test_one_command_starts_a_run_and_goes_on_with_it(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a scheduler repeats it; with more steps only so that there is something left to do."""
    recipe = a_corpus.parent / "recipe.yaml"
    command = arguments(a_corpus, "--recipe", str(recipe), "--continue")
    assert cli.main([*command, "--steps", "2", "--seed", "7"]) == 0
    assert steps_of(a_corpus) == [1, 2]
    # An option that is left out is that of the run.
    assert cli.main([*command, "--steps", "3"]) == 0
    assert steps_of(a_corpus) == [1, 2, 3]
    capfd.readouterr()
    assert cli.main([*command, "--steps", "3", "--seed", "7"]) == 0
    assert "keeps" not in capfd.readouterr().out
    # The command of a run that was extended by hand.
    assert cli.main([*command, "--steps", "2", "--seed", "7"]) == 0
    assert "The run keeps its 3 steps; the command asks for 2." in capfd.readouterr().out
    assert steps_of(a_corpus) == [1, 2, 3]


def test_a_repeated_command_with_other_options_is_refused(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = a_corpus.parent / "recipe.yaml"
    command = arguments(a_corpus, "--recipe", str(recipe), "--continue")
    assert cli.main([*command, "--steps", "1"]) == 0
    # Another spelling of the same values.
    recipe.write_text(
        RECIPE.replace("warmup_steps: 1", "warmup_steps: '1'").replace("[16, 24, 24]", "[16, 24,24]")
    )
    assert cli.main([*command, "--steps", "1"]) == 0
    recipe.write_text(
        RECIPE.replace("warmup_steps: 1", "warmup_steps: 3").replace("[16, 24, 24]", "[16, 24, 32]")
    )
    capfd.readouterr()
    weights = str(a_corpus.parent / "run")
    for more in (["--preset", "small"], ["--seed", "1"], ["--initial", weights], []):
        assert cli.main([*command, "--steps", "2", *more]) == 2
        said = " ".join(capfd.readouterr().err.split())
        assert "holds a run with other options (" in said
        assert "crop.size: [16, 24, 24] there, [16, 24, 32] here" in said
        assert "warmup_steps: 1 there, 3 here" in said
        assert not more or f"{more[0][2:]}: " in said
        assert "steps: " not in said.replace("warmup_steps: ", "")
    assert steps_of(a_corpus) == [1]


def test_a_run_that_lost_its_model_writes_it_again(a_corpus: Path) -> None:
    assert cli.main(arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"))) == 0
    model = a_corpus.parent / "run" / "model.safetensors"
    model.unlink()
    assert cli.main(arguments(a_corpus, "--resume")) == 0
    assert load_checkpoint(model).card.step == 4


def test_scans_that_are_left_out_are_told_in_one_line(
    a_corpus: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    for number in range(4):
        write_volume(Volume(np.ones((8, 8, 8), np.uint8), np.eye(4)), a_corpus / f"label{number}.nii.gz")
    (a_corpus / "damaged.nii.gz").write_bytes(b"nothing")
    assert cli.main(arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"))) == 0
    (line,) = (line for line in capfd.readouterr().out.splitlines() if "left out" in line)
    assert "left out 5 of 7 scans (damaged.nii.gz" in line
    assert line.count("damaged.nii.gz") == 1
    assert "label0.nii.gz: a label map, not a scan" in line
    assert "; and 2 more); events.jsonl lists all" in line
    events = (a_corpus.parent / "run" / "events.jsonl").read_text().splitlines()
    assert sum(json.loads(event)["event"] == "left_out" for event in events) == 5


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT that one process sends another")
def test_ctrl_c_keeps_a_checkpoint_and_a_resume_goes_on(a_corpus: Path) -> None:
    events = a_corpus.parent / "run" / "events.jsonl"
    command = arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"), "--steps", "100000")
    with started(command, a_corpus.parent) as running:
        wait_until(lambda: events.is_file() and '"step", "step": 3' in events.read_text(), running)
        running[0].send(signal.SIGINT)
        status, said = running[0].wait(60)
    assert status == 130
    assert "Stopped" in said
    assert "Traceback" not in said
    done = steps_of(a_corpus)[-1]
    assert cli.main(arguments(a_corpus, "--resume", "--steps", str(done + 2))) == 0
    assert steps_of(a_corpus) == list(range(1, done + 3))


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_resumes_onto_the_very_weights_it_would_have_had(a_corpus: Path) -> None:
    recipe = str(a_corpus.parent / "recipe.yaml")
    Path(recipe).write_text(RECIPE + "cooldown: 0\n")  # the rate of a step depends on no later one
    checkpoints = a_corpus.parent / "run" / "checkpoints"
    command = arguments(a_corpus, "--recipe", recipe, "--steps", "100000")
    with started(command, a_corpus.parent) as running:
        wait_until(lambda: list(checkpoints.glob("step-*.safetensors")), running)
        running[0].send(signal.SIGKILL)
        status, _ = running[0].wait(60)
    assert status == -signal.SIGKILL
    steps = str(max(read_card(path).step for path in checkpoints.glob("step-*.safetensors")) + 3)
    finish(a_corpus, "--resume", "--steps", steps)
    finish(a_corpus, "--recipe", recipe, "--steps", steps, "--out", str(a_corpus.parent / "whole"))
    resumed, whole = (newest_tensors(a_corpus.parent / name) for name in ("run", "whole"))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def finish(corpus: Path, *more: str) -> None:
    """Run the command in a process of its own."""
    with started(arguments(corpus, *more), corpus.parent) as running:
        status, said = running[0].wait(300)
    assert status == 0, said


@pytest.mark.process
def test_two_processes_share_a_run(a_corpus: Path) -> None:
    recipe = a_corpus.parent / "recipe.yaml"
    thin = np.random.default_rng(2).normal(0, 300, (10, 40, 40)).astype(np.int16)
    write_volume(Volume(thin, np.eye(4)), a_corpus / "thin.nii.gz")
    recipe.write_text(RECIPE.replace("batch_size: 1", "batch_size: 4"))
    groups = numbers_of_shapes(load_config(recipe), find_scans(a_corpus))
    assert {1, 2} in groups, "in some step one process must have more crop shapes than the other"
    # As a person types it, so that the command and torchrun fit each other.
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, "-m", "MAESILCore", *arguments(a_corpus, "--recipe", str(recipe))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert steps_of(a_corpus) == [1, 2, 3, 4]
    assert len(list((a_corpus.parent / "run" / "checkpoints").iterdir())) == 2

    # Together they do what one process does with all their crops, up to rounding.
    alone = ["--recipe", str(recipe), "--out"]
    finish(a_corpus, *alone, str(a_corpus.parent / "alone"))
    finish(a_corpus, *alone, str(a_corpus.parent / "start"), "--steps", "1")
    shared, joined, start = (all_weights(a_corpus.parent / name) for name in ("run", "alone", "start"))
    assert (shared - joined).abs().mean() < 0.05 * (joined - start).abs().mean()


def numbers_of_shapes(config: PretrainConfig, scans: list[Path]) -> list[set[int]]:
    """For every step, the different numbers of crop shapes that two processes have to deal with."""
    sizes = create(config.method, config.model, config.preset).config
    corpus = Corpus(inspect(Discovery.of(scans).scans), drawing_of(config, sizes))

    def shapes(step: int, rank: int) -> int:
        keys = (SampleKey(config.seed, step, index) for index in share_of(config.batch_size, rank, 2))
        return len({corpus.draw(key).voxels.shape for key in keys})

    return [{shapes(step, rank) for rank in range(2)} for step in range(config.steps)]


def newest_tensors(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(max((run / "checkpoints").glob("step-*.safetensors")), "")


def all_weights(run: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten() for name, tensor in newest_tensors(run).items() if "model." in name])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--preset", "gigantic"], "no preset 'gigantic'"),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml cannot be read: No such file"),
        (["--resume"], "holds no run to resume"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--initial", "nowhere.safetensors"], "no checkpoint nowhere.safetensors"),
        (["--initial", "maesil-nowhere"], "or a bundled name (maesil-plus, maesil-small-ct)"),
        (["--background", "--device", "cuda:99"], "'cuda:99' is not available"),
        (["--background", "--processes", "3", "--batch-size", "2"], "3 processes cannot share a batch of 2"),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_no_run(
    a_corpus: Path, capfd: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert cli.main(arguments(a_corpus, *more)) == 2
    assert words in capfd.readouterr().err
    assert not (a_corpus.parent / "run").exists()


def test_an_estimate_is_refused_where_several_processes_share_the_run(
    a_corpus: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(arguments(a_corpus, "--preset", "tiny", "--estimate")) == 2
    assert "run --estimate without torchrun" in capfd.readouterr().err


def test_a_resume_in_the_background_is_refused_before_it_starts(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run.create(a_corpus.parent / "run")
    run.begin(PretrainConfig(batch_size=2), "[]")
    before = sorted(run.folder.iterdir())
    assert cli.main(["resume", str(run.folder), str(a_corpus), "--background", "--processes", "3"]) == 2
    assert "3 processes cannot share a batch of 2" in capfd.readouterr().err
    assert cli.main(["resume", str(run.folder), str(a_corpus), "--background", "--device", "cuda:99"]) == 2
    assert "'cuda:99' is not available" in capfd.readouterr().err
    assert sorted(run.folder.iterdir()) == before


@pytest.fixture
def same_names(tmp_path: Path) -> Path:
    """Every scan is called ct.nii.gz, in a folder of its own, beside what is no scan."""
    folder = tmp_path / "scans"
    for number, name in enumerate(("s0001", "s0002", "s1000")):
        (folder / name).mkdir(parents=True)
        voxels = np.random.default_rng(number).normal(0, 300, (20, 40, 40)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), folder / name / "ct.nii.gz")
    (folder / "s0003").mkdir()
    (folder / "s0003" / "ct.nii.gz").write_bytes(b"nothing")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return folder


def scans_of(corpus: Path) -> list[str]:
    return [name for name, _ in json.loads((corpus.parent / "run" / "scans.json").read_text())]


def test_scans_of_one_name_are_held_out_by_their_folder(
    same_names: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    recipe = str(same_names.parent / "recipe.yaml")
    assert cli.main(arguments(same_names, "--recipe", recipe, "--hold-out", "s1*")) == 0
    assert scans_of(same_names) == ["s0001/ct.nii.gz", "s0002/ct.nii.gz"]
    assert "hidden PSNR" in capfd.readouterr().out
    events = [
        json.loads(line) for line in (same_names.parent / "run" / "events.jsonl").read_text().splitlines()
    ]
    assert [event["scan"] for event in events if event["event"] == "left_out"] == ["s0003/ct.nii.gz"]
    assert cli.main(arguments(same_names, "--resume", "--steps", "5")) == 0
    assert steps_of(same_names) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("given", ["option", "recipe"])
def test_a_pattern_that_holds_out_nothing_is_refused(
    given: str, same_names: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = same_names.parent / "recipe.yaml"
    more = ["--hold-out", "s0001", "--hold-out", "s2*"]
    if given == "recipe":
        recipe.write_text(RECIPE + "hold_out: [s0001, 's2*']\n")
        more = []
    assert cli.main(arguments(same_names, "--recipe", str(recipe), *more)) == 2
    assert (
        "The hold_out pattern 's2*' matches none of the 4 scans (s0001/ct.nii.gz, " in capfd.readouterr().err
    )
    assert not (same_names.parent / "run").exists()


@pytest.mark.slow
def test_a_run_of_the_time_of_bare_names_goes_on_as_it_began(same_names: Path) -> None:
    recipe = same_names.parent / "recipe.yaml"
    assert cli.main(arguments(same_names, "--recipe", str(recipe))) == 0
    run = same_names.parent / "run"
    # What was written then: file names alone, and a pattern that silently held out nothing.
    (run / "scans.json").write_text(json.dumps([["ct.nii.gz", [20, 40, 40]]] * 3))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("hold_out: []", "hold_out: ['s1*']"))
    assert cli.main(arguments(same_names, "--resume", "--steps", "5")) == 0
    assert scans_of(same_names) == ["s0001/ct.nii.gz", "s0002/ct.nii.gz", "s1000/ct.nii.gz"]
    assert steps_of(same_names) == [1, 2, 3, 4, 5]
    # Once the names are whole, the run still trains on what it began with.
    assert cli.main(arguments(same_names, "--resume", "--steps", "6")) == 0
    assert steps_of(same_names) == [1, 2, 3, 4, 5, 6]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_what_is_no_scan_is_told_and_named_in_the_events(
    same_names: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    os.mkfifo(same_names / "pipe.nii.gz")
    (same_names / "README.md").symlink_to("gone")
    assert cli.main(arguments(same_names, "--recipe", str(same_names.parent / "recipe.yaml"))) == 0
    told = (
        "left out 2 entries of the folders beside the scans "
        "(README.md: it is a broken link; pipe.nii.gz: it is a named pipe)"
    )
    assert told in capfd.readouterr().out
    events = (same_names.parent / "run" / "events.jsonl").read_text()
    assert '"entry": "pipe.nii.gz", "reason": "it is a named pipe"' in events


@pytest.mark.parametrize(
    ("module", "package"), [("yaml", "pyyaml"), ("lightning_fabric", "lightning-fabric")]
)
def test_a_missing_package_is_told_and_leaves_no_run(
    a_corpus: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(arguments(a_corpus)) == 2
    assert f"Pre-training needs the package {package}" in capfd.readouterr().err
    assert not (a_corpus.parent / "run").exists()


def test_steps_that_do_not_fit_leave_a_run_as_it_is(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"))) == 0
    for steps, words in (("-5", "steps must be at least 1"), ("3", "already taken 4 steps")):
        assert cli.main(arguments(a_corpus, "--resume", "--steps", steps)) == 2
        assert words in capfd.readouterr().err
    assert cli.main(arguments(a_corpus, "--resume")) == 0
    assert steps_of(a_corpus) == [1, 2, 3, 4]


def test_a_resumed_run_keeps_its_recipe(a_corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"))) == 0
    assert cli.main(arguments(a_corpus, "--resume", "--seed", "5")) == 2
    assert "only --steps" in capfd.readouterr().err
