"""Making a job's folder: whole, private, or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from MAESILCore import Volume
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.jobs import ReconstructionRequest, prepare_reconstruction, reconstruction
from MAESILCore.lattice import Mask, MaskStrategy


@pytest.fixture
def a_scan() -> Volume:
    return Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5)[::-1], np.diag([0.7, 0.7, 2.0, 1.0]), "Döe")


def test_a_job_holds_scan_and_mask_where_nobody_else_looks(tmp_path: Path, a_scan: Volume) -> None:
    mask = Mask(np.array([[[0, 2], [1, 0]]]))
    request = prepare_reconstruction(tmp_path / "Jöbs" / "日本", a_scan, mask=mask, seed=3, coverage=0)
    np.testing.assert_array_equal(np.load(request.folder / "voxels.npy"), a_scan.voxels)
    np.testing.assert_array_equal(np.load(request.folder / "mask.npy"), mask.stages)
    assert request.has_mask
    assert request.seed == 3
    np.testing.assert_array_equal(request.ijk_to_ras, a_scan.ijk_to_ras)
    assert sorted(path.name for path in request.folder.iterdir()) == ["job.json", "mask.npy", "voxels.npy"]
    # Neither the folder's name nor anything but the file says whose scan this is.
    assert "Döe" not in str(request.folder)
    if sys.platform != "win32":
        assert stat.S_IMODE(request.folder.stat().st_mode) == 0o700


def test_a_disk_without_room_for_the_results_is_refused_before_the_work(
    tmp_path: Path, a_scan: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=60 * 18))
    prepare_reconstruction(tmp_path, a_scan)
    with pytest.raises(VolumeError, match=r"needs 0\.0 GB on the disk .* free some space"):
        prepare_reconstruction(tmp_path, a_scan, export=True)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, a_scan: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, array: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reconstruction, "write_array", fail)
    with pytest.raises(VolumeError, match="The disk that holds the job's folder is full"):
        prepare_reconstruction(tmp_path, a_scan)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path, a_scan: Volume) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(VolumeError, match="The job's files cannot be used"):
        prepare_reconstruction(tmp_path / "file", a_scan)


def test_the_strategy_comes_back_also_from_a_job_of_an_earlier_version(
    tmp_path: Path, a_scan: Volume
) -> None:
    strategy = MaskStrategy("plane", 0.4, plane_axis="i")
    folder = prepare_reconstruction(tmp_path, a_scan, strategy=strategy).folder
    assert ReconstructionRequest.read(folder).strategy == strategy
    content = json.loads((folder / "job.json").read_text())
    content["request"] |= {"mode": "block", "ratio": 0.6, "block_size": 3}
    del content["request"]["strategy"]
    (folder / "job.json").write_text(json.dumps(content))
    assert ReconstructionRequest.read(folder).strategy == MaskStrategy("block", 0.6, block_size=3)


def test_a_strategy_that_does_not_fit_is_named(tmp_path: Path) -> None:
    content = {"ijk_to_ras": np.eye(4).tolist(), "mode": "random", "ratio": 1.5}
    with pytest.raises(ConfigError, match="mask ratio"):
        ReconstructionRequest.of(tmp_path, content)


@pytest.mark.parametrize(
    ("choice", "value", "told"),
    [
        *(("coverage", value, "coverage must be") for value in (-1, 2.5, True, "4", None)),
        *(("batch_size", value, "batch size must be") for value in (0, -3, 1.5, True, "8")),
        *(
            ("device", value, "There is no device")
            for value in ("gpu", "", "cuda:", "cuda:-1", "CPU", None, 0)
        ),
    ],
)
def test_what_no_job_can_do_is_refused_before_one_is_made(
    tmp_path: Path, a_scan: Volume, choice: str, value: object, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        prepare_reconstruction(tmp_path, a_scan, **{choice: value})
    assert not list(tmp_path.iterdir())


def test_numbers_of_another_type_are_taken_as_what_they_are(tmp_path: Path, a_scan: Volume) -> None:
    request = prepare_reconstruction(
        tmp_path, a_scan, coverage=np.int64(4), batch_size=np.uint8(2), device="cuda:12"
    )
    read = ReconstructionRequest.read(request.folder)
    assert (read.coverage, read.batch_size, read.device) == (4, 2, "cuda:12")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps names as Unicode")
def test_a_model_whose_path_is_not_utf_8_comes_back_as_it_was(tmp_path: Path, a_scan: Volume) -> None:
    model = str(tmp_path / os.fsdecode(b"mod\xe8le.safetensors"))
    request = prepare_reconstruction(tmp_path / "jobs", a_scan, model=model, device="cpu")
    (request.folder / "job.json").read_text(encoding="utf-8", errors="strict")
    assert ReconstructionRequest.read(request.folder).model == model
