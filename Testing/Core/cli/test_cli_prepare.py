"""`maesil prepare`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MAESILCore.cli import main
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.store.opened import Store


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with a scan of 24 x 32 x 40 voxels, and a label map."""
    folder = tmp_path / "scans"
    folder.mkdir()
    hu = np.random.default_rng(0).integers(-1000, 400, (24, 32, 40)).astype(np.int16)
    for name, voxels in (("ct.nrrd", hu), ("label.nrrd", (hu > 0).astype(np.uint8))):
        write_volume(Volume(voxels, np.diag([1.0, 1.0, 2.0, 1.0])), folder / name)
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["prepare", *map(str, words)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_a_store_is_made_checked_and_resampled(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "store"
    status, shown, errors = run(capsys, scans, "--out", out, "--spacing", "2", "--jobs", "1")
    assert status == 0
    assert "holds 1 scan (1 new). quarantine.csv lists 0 duplicates and 1 unusable file." in shown
    assert "label.nrrd: a label map" in errors
    assert Store(out).shape(0) == (24, 16, 20)
    status, shown, _ = run(capsys, "--check", "--out", out, "--jobs", "1")
    assert (status, "all checksums fit" in shown) == (0, True)
    shard = next(out.glob("scans/*/voxels/c/0/0/0"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 16
    shard.write_bytes(content)
    status, _, errors = run(capsys, "--check", "--out", out, "--jobs", "1")
    assert status == 2
    assert f"ct.nrrd (scans/{Store(out).identities[0]})" in errors
    assert "has 1 damage: delete the named folders" in errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SCANS", "--out", "STORE", "--spacing", "1,2"], "--spacing 1,2 is not understood"),
        (["SCANS", "--out", "STORE", "--spacing", "nan"], "--spacing nan is not understood"),
        (["SCANS", "--out", "STORE", "--spacing", "-1"], "--spacing -1 is not understood"),
        (["--out", "STORE"], "Give the folders with scans"),
        (["SCANS", "--out", "STORE", "--check"], "leave out folders"),
        (["--check", "--out", "SCANS"], "is no store"),
        (["SCANS", "--out", "SCANS"], "is not empty and holds no store"),
        (["SCANS/none", "--out", "STORE"], "There is no file or folder"),
        (["SCANS", "--out", "STORE", "--jobs", "0"], "jobs"),
        (["SCANS", "--out", "STORE", "--jobs", "99999999"], "jobs"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], message: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"SCANS": str(scans), "STORE": str(tmp_path / "store")}
    given = [word.replace("SCANS", places["SCANS"]).replace("STORE", places["STORE"]) for word in words]
    status, shown, errors = run(capsys, *given)
    assert (status, shown) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "store").exists()
