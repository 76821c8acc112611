"""What a worker makes of a job's folder, and the one sentence that is told when it cannot."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MAESILCore import Volume, files, load_checkpoint
from MAESILCore.data.window import Window
from MAESILCore.errors import Cancelled, ConfigError, MaesilError, VolumeError
from MAESILCore.inference import Reconstruction
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.jobfolder import Event, message_of
from MAESILCore.jobfolder.failures import TEXTS, message_of_exit
from MAESILCore.jobs import ReconstructionRequest, prepare_reconstruction
from MAESILCore.jobs.progress import Progress
from MAESILCore.jobs.reconstruct import Work
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid, roi_mask_from_box
from MAESILCore.scoring.evaluate.case import CaseOptions, evaluate_case
from MAESILCore.scoring.metrics.similarity import psnr_of
from MAESILCore.scoring.superpatches import superpatch_scores

FLIPPED = np.array([[-0.7, 0, 0, 5.0], [0, 0.7, 0, -9.0], [0, 0, -2.5, 1.0], [0, 0, 0, 1]])


@pytest.fixture
def a_scan() -> Volume:
    k, j, i = np.ogrid[:13, :22, :30]
    voxels = 500 * np.sin(k / 5) * np.cos(j / 7) + 10 * i - 500
    return Volume(voxels.astype(np.int16), FLIPPED, "Döe")


@pytest.fixture
def a_grid(a_scan: Volume) -> SuperpatchGrid:
    return SuperpatchGrid(a_scan.shape, 16, 4)


@pytest.fixture
def a_job(tmp_path: Path, a_scan: Volume, tiny_model: Path) -> ReconstructionRequest:
    return prepare_reconstruction(tmp_path / "jobs", a_scan, model=str(tiny_model), device="cpu")


def work(request: ReconstructionRequest, stop_at: str | None = None) -> list[Event]:
    """Do a job in this process; with `stop_at`, ask it to stop at the first message that holds this."""
    events: list[Event] = []

    def stopped() -> bool:
        return stop_at is not None and any(stop_at in event.message for event in events)

    Work(request, Progress(events.append), stopped).run()
    return events


def failure_of(request: ReconstructionRequest) -> str:
    """The sentence that is told when the job fails."""
    with pytest.raises((MaesilError, OSError)) as caught:
        work(request)
    assert not (request.folder / "result.json").exists()
    assert not [path.name for path in request.folder.glob(".*")]
    return message_of(caught.value)


def read(request: ReconstructionRequest, name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((request.folder / name).read_text(encoding="utf-8"))


def test_a_coverage_has_an_uncertainty_and_scores_for_every_superpatch(
    a_job: ReconstructionRequest, a_grid: SuperpatchGrid
) -> None:
    work(replace(a_job, coverage=2))
    assert np.load(a_job.folder / "uncertainty.npy").dtype == np.float32
    result, scores = read(a_job, "result.json"), read(a_job, "superpatches.json")
    assert result["is_coverage"]
    assert result["masks"] >= 2
    assert result["arrays"]["uncertainty"] == "uncertainty.npy"
    assert [score["index"] for score in scores] == list(range(len(a_grid)))
    assert sum(score["hidden_voxels"] for score in scores) == 13 * 22 * 30


@pytest.mark.parametrize(
    ("strategy", "drawn"),
    [
        (MaskStrategy(), {"mode": "nested", "plane_ratio": 0.5, "axis_ratio": 0.5}),
        (
            MaskStrategy(mode="block", ratio=0.6, block_size=3),
            {"mode": "block", "ratio": 0.6, "block_size": 3},
        ),
    ],
)
def test_results_and_scores_say_how_the_mask_was_drawn(
    a_job: ReconstructionRequest, strategy: MaskStrategy, drawn: dict[str, Any]
) -> None:
    work(replace(a_job, seed=7, strategy=strategy))
    for told in (read(a_job, "result.json"), read(a_job, "metrics.json")["setup"]):
        known = {"seed", "coverage", "mode", "ratio", "plane_ratio", "axis_ratio", "block_size"}
        assert {name: told[name] for name in known & set(told)} == {"seed": 7, "coverage": 0, **drawn}


def test_the_hidden_fraction_means_the_same_in_every_file(
    a_job: ReconstructionRequest, a_scan: Volume, a_grid: SuperpatchGrid, tiny_model: Path
) -> None:
    work(replace(a_job, strategy=MaskStrategy("random", 0.6), seed=3))
    stages = np.load(a_job.folder / "mask.npy")
    hidden = {
        "hidden_fraction": pytest.approx(np.mean(stages != 0)),
        "hidden_voxel_fraction": pytest.approx(np.mean(a_grid.expand(stages) != 0)),
    }
    assert hidden["hidden_fraction"] != hidden["hidden_voxel_fraction"]
    options = CaseOptions(MaskStrategy("random", 0.6), 3, 0, (), "cpu", None, lambda: False)
    case = evaluate_case(a_scan, load_checkpoint(tiny_model), options, lambda: None)
    for told in (read(a_job, "result.json"), read(a_job, "metrics.json")["setup"], case):
        assert {name: told[name] for name in hidden} == hidden


def test_the_very_mask_that_is_given_is_used(
    tmp_path: Path, a_scan: Volume, tiny_model: Path, a_grid: SuperpatchGrid
) -> None:
    mask = roi_mask_from_box(a_grid, (2, 17, 3), (6, 21, 15))
    request = prepare_reconstruction(tmp_path, a_scan, mask=mask, model=str(tiny_model), device="cpu")
    work(request)
    np.testing.assert_array_equal(np.load(request.folder / "mask.npy"), mask.stages)
    hidden = a_grid.expand(mask.hidden)
    np.testing.assert_array_equal(np.load(request.folder / "mosaic.npy")[~hidden], a_scan.voxels[~hidden])
    assert (np.load(request.folder / "error.npy")[~hidden] == 0).all()
    # Rows of superpatches along j are 16 voxels deep: only those that the box reaches are told.
    assert {score["j"] for score in read(request, "superpatches.json")} == {1}


def test_a_superpatchs_scores_are_those_of_its_hidden_voxels(a_scan: Volume, a_grid: SuperpatchGrid) -> None:
    rng = np.random.default_rng(0)
    made = a_scan.with_voxels((a_scan.voxels + rng.normal(0, 300, a_scan.shape)).astype(np.float32))
    stages = rng.integers(0, 3, a_grid.lattice_shape)
    stages[:, :4, 4:] = 0
    result = Reconstruction(
        volume=a_scan,
        reconstruction=made,
        mosaic=made,
        error=made,
        uncertainty=None,
        mask=Mask(stages),
        masks=[Mask(stages)],
        grid=SuperpatchGrid(a_scan.shape, 16, 4, overlap=4),
        window=Window(-500, 500),
    )
    scores = superpatch_scores(result)
    assert [(s["index"], s["k"], s["j"], s["i"]) for s in scores] == [
        (0, 0, 0, 0),
        (2, 0, 1, 0),
        (3, 0, 1, 1),
    ]
    hidden = a_grid.expand(np.asarray(stages != 0))
    part = (slice(0, 13), slice(16, 22), slice(16, 30))
    before, after = (np.clip(volume.voxels[part], -500, 500) for volume in (a_scan, made))
    error = (after.astype(np.float64) - before)[hidden[part]]
    assert scores[2]["center_ijk"] == [22.5, 18.5, 6]
    assert scores[2]["hidden_voxels"] == hidden[part].sum() == error.size
    assert scores[2]["mae_hu"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert scores[2]["psnr_hidden"] == pytest.approx(psnr_of(float(np.mean((error / 1000) ** 2))), rel=1e-5)


def test_scores_of_the_whole_can_be_left_out(a_job: ReconstructionRequest) -> None:
    work(replace(a_job, scores=False))
    assert not (a_job.folder / "metrics.json").exists()
    assert read(a_job, "superpatches.json")


def test_an_export_holds_the_files_of_the_command(a_job: ReconstructionRequest) -> None:
    work(replace(a_job, export=True))
    names = {path.name for path in (a_job.folder / "export").iterdir()}
    assert names >= {"reconstruction.nii.gz", "mosaic.nii.gz", "error.nii.gz", "mask.nii.gz", "report.png"}
    assert json.loads((a_job.folder / "export" / "metrics.json").read_text()) == read(a_job, "metrics.json")


def test_an_export_without_matplotlib_lacks_the_report_and_says_so(
    a_job: ReconstructionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    work(replace(a_job, export=True))
    names = {path.name for path in (a_job.folder / "export").iterdir()}
    assert "metrics.json" in names
    assert "report.png" not in names
    assert [
        note
        for note in read(a_job, "result.json")["notes"]
        if note.startswith("The picture report.png needs")
    ]


@pytest.mark.parametrize("moment", ["Reconstructed 1", "Writing", "Scoring the superpatches"])
def test_a_job_stops_between_its_steps(a_job: ReconstructionRequest, moment: str) -> None:
    with pytest.raises(Cancelled):
        work(replace(a_job, export=True), stop_at=moment)
    assert not (a_job.folder / "result.json").exists()


def test_missing_and_damaged_checkpoints_are_told_in_a_sentence(
    a_job: ReconstructionRequest, tiny_model: Path, tmp_path: Path
) -> None:
    assert failure_of(replace(a_job, model="/nowhere.safetensors")).startswith("There is no checkpoint")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(tiny_model.read_bytes()[:5000])
    assert "damaged" in failure_of(replace(a_job, model=str(damaged)))


def test_too_little_memory_of_the_device_is_told_in_a_sentence(
    a_job: ReconstructionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkPasses, "_attempt", lambda *arguments: None)
    assert "too little memory for one superpatch" in failure_of(a_job)
    assert "too little memory" in message_of(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert "computer ran out of memory" in message_of(MemoryError())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("name", ["reconstruction.npy", "superpatches.json", "result.json"])
def test_a_full_disk_is_told_in_a_sentence(
    a_job: ReconstructionRequest, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole = files.write_whole

    @contextmanager
    def write_to_full_disk(path: Path) -> Iterator[Path]:
        if path.name == name:
            yield Path("/dev/full")
        else:
            with write_whole(path) as unfinished:
                yield unfinished

    monkeypatch.setattr(files, "write_whole", write_to_full_disk)
    assert (
        failure_of(a_job) == "The disk that holds the job's folder is full; free some space, then try again."
    )


def test_a_scan_that_is_damaged_or_gone_is_told_in_a_sentence(a_job: ReconstructionRequest) -> None:
    voxels = a_job.folder / "voxels.npy"
    whole = voxels.read_bytes()
    for damaged in (whole[:200], b"", b"something else"):
        voxels.write_bytes(damaged)
        assert failure_of(a_job) == "The job's file voxels.npy is damaged; start the job again."
    voxels.unlink()
    assert failure_of(a_job) == TEXTS["job.vanished"]


def test_a_device_that_is_not_there_is_told_in_a_sentence(a_job: ReconstructionRequest) -> None:
    assert "'cuda:7' is not available" in failure_of(replace(a_job, device="cuda:7"))


def test_an_unexpected_failure_names_no_home_folder() -> None:
    sentence = message_of(KeyError(str(Path.home() / "secret")))
    assert sentence.startswith("MAESIL failed unexpectedly (KeyError: ")
    assert str(Path.home()) not in sentence
    assert message_of(OSError(errno.EACCES, "Permission denied")).startswith(
        "The job's files cannot be used (Perm"
    )


def test_a_disk_that_fills_up_during_the_export_is_told_alike() -> None:
    error = VolumeError("The results cannot be written to /somewhere: No space left. Choose another folder.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert message_of(error) == TEXTS["job.folder-disk-full"]
    error.__cause__ = OSError(errno.EACCES, "Permission denied")
    assert message_of(error) == str(error)


@pytest.mark.parametrize(
    ("log", "part"),
    [
        ("ModuleNotFoundError: No module named 'torch'", "PyTorch is not installed"),
        ("ModuleNotFoundError: No module named 'scipy.ndimage'", "The package scipy is not installed"),
        (
            "ImportError: DLL load failed while importing _C",
            "PyTorch is installed but cannot be loaded (DLL load",
        ),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "computer ran out of memory"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("fatal: a riddle\n\n", "ended unexpectedly with status 9 (fatal: a riddle)"),
    ],
)
def test_the_log_of_a_silent_end_becomes_a_sentence(log: str, part: str) -> None:
    assert part in message_of_exit(9, log)


def test_a_request_comes_back_as_it_was_written(a_job: ReconstructionRequest) -> None:
    assert ReconstructionRequest.read(a_job.folder) == a_job


@pytest.mark.parametrize("request_text", ['{"ijk_to_ras": 3}', '{"ijk_to_ras": [], "colour": 1}', "3"])
def test_a_damaged_request_is_refused(tmp_path: Path, request_text: str) -> None:
    (tmp_path / "job.json").write_text(f'{{"kind": "reconstruction", "request": {request_text}}}')
    with pytest.raises(ConfigError, match=r"job\.json cannot be read"):
        ReconstructionRequest.read(tmp_path)
    with pytest.raises(ConfigError, match="is gone"):
        ReconstructionRequest.read(tmp_path / "none")
    (tmp_path / "job.json").write_text('{"kind": "game", "request": {}}')
    with pytest.raises(ConfigError, match="of the kind game"):
        ReconstructionRequest.read(tmp_path)
