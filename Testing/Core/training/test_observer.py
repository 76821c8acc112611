"""What a run leaves beside its checkpoints: previews, TensorBoard files, the environment, speeds, kept fills."""

from __future__ import annotations

import json
import platform
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.errors import Cancelled, ConfigError, MissingPackageError
from MAESILCore.jobfolder import rows
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.nn import fill
from MAESILCore.nn.fill import FillCache, smooth_fill
from MAESILCore.training import PretrainConfig, Run, pretrain
from MAESILCore.training.environment import describe_environment, extended
from MAESILCore.training.meter import Meter
from MAESILCore.training.previews import middle_part

Recipe = Callable[..., PretrainConfig]


def train(folder: Path, config: PretrainConfig, scans: list[Path]) -> Run:
    run = Run.create(folder)
    pretrain(run, config, scans, device="cpu")
    return run


@pytest.mark.slow
def test_previews_show_the_held_out_scan_on_its_own_grid_and_change_no_weight(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    run = train(tmp_path / "run", small_recipe(preview_every=4, keep_previews=1), small_scans)
    plain = train(tmp_path / "plain", small_recipe(preview_every=0), small_scans)
    assert not (plain.folder / "previews").exists()
    first, second = (load_tensors(one.checkpoints.paths()[-1], "") for one in (run, plain))
    assert all(torch.equal(first[name], second[name]) for name in first)

    made = [event for event in run.job.events() if event.event == "preview"]
    assert [event.step for event in made] == [4, 6]
    assert made[-1].fields == {"files": ["previews/step-00000006.png", "previews/step-00000006.nii.gz"]}
    names = sorted(path.name for path in (run.folder / "previews").iterdir())
    assert names == ["hidden.nii.gz", "step-00000006.nii.gz", "step-00000006.png", "truth.nii.gz"]
    assert (run.folder / made[-1].fields["files"][0]).read_bytes().startswith(b"\x89PNG")

    truth, hidden, filled = (
        read_volume(run.folder / "previews" / name)
        for name in ("truth.nii.gz", "hidden.nii.gz", "step-00000006.nii.gz")
    )
    assert truth.voxels.dtype == hidden.voxels.dtype == filled.voxels.dtype == np.int16
    for volume in (hidden, filled):
        np.testing.assert_array_equal(volume.ijk_to_ras, truth.ijk_to_ras)
    scan = read_volume(small_scans[0])
    i, j, k = np.rint(np.linalg.solve(scan.ijk_to_ras, truth.ijk_to_ras[:, 3])[:3]).astype(int)
    part = tuple(slice(at, at + size) for at, size in zip((k, j, i), truth.shape, strict=True))
    np.testing.assert_array_equal(truth.voxels, scan.voxels[part])
    covered = hidden.voxels != truth.voxels
    assert 0.5 < covered.mean() < 0.8
    assert (hidden.voxels[covered] == -1000).all()
    np.testing.assert_array_equal(filled.voxels[~covered & (truth.voxels > -1000)],
                                  truth.voxels[~covered & (truth.voxels > -1000)])  # fmt: skip


def test_previews_without_matplotlib_have_volumes_and_say_so_once(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    run = train(tmp_path / "run", small_recipe(preview_every=2, preview_scan="scan1"), small_scans)
    names = sorted(path.name for path in (run.folder / "previews").glob("step-*"))
    assert names == [f"step-0000000{step}.nii.gz" for step in (2, 4, 6)]
    (note,) = (event for event in run.job.events() if event.event == "log")
    assert "Previews have no pictures" in note.message
    assert "pip install matplotlib" in note.message


def test_a_preview_scan_that_matches_nothing_is_refused(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="preview_scan pattern 'scan9' matches none of the 3 scans"):
        train(tmp_path / "run", small_recipe(preview_scan="scan9"), small_scans)


def test_a_preview_that_cannot_be_written_ends_no_training(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path
) -> None:
    run = Run.create(tmp_path / "run")
    run.folder.mkdir(exist_ok=True)
    config = small_recipe(preview_every=6)

    def spoil(event: object) -> None:
        (run.folder / "previews").touch()  # a file where the folder belongs

    pretrain(run, config, small_scans, device="cpu", progress=spoil)
    assert run.job.state() == "finished"
    assert any("The preview of step 6 could not be made" in event.message for event in run.job.events())


def test_the_preview_is_the_middle_of_the_body() -> None:
    voxels = np.full((60, 100, 100), -1000, np.int16)
    voxels[20:50, 50:90, 10:70] = 40
    ijk_to_ras = np.array([[0, -0.7, 0, 5], [0.7, 0, 0, -9], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
    part = middle_part(Volume(voxels, ijk_to_ras), (32, 32, 32), (8, 8, 8))
    # 32 slices would be 80 mm beside 22 mm.
    assert part.shape == (16, 32, 32)
    np.testing.assert_allclose(part.ijk_to_ras[:3, :3], ijk_to_ras[:3, :3])
    i, j, k = np.linalg.solve(ijk_to_ras, part.ijk_to_ras[:, 3])[:3]
    np.testing.assert_allclose((k, j, i), (35 - 8, 70 - 16, 40 - 16), atol=3)
    small = middle_part(Volume(voxels[:5, :6, :7], ijk_to_ras), (32, 32, 32), (8, 8, 8))
    assert small.shape == (5, 6, 7)


def events_in(path: Path) -> list[object]:
    """The events of a TensorBoard file."""
    from tensorboardX.proto.event_pb2 import Event

    content, events = path.read_bytes(), list[object]()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


def test_tensorboard_files_go_on_after_a_resume(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboardX")
    run, config = Run.create(tmp_path / "run"), small_recipe(log=["tensorboard"])
    with pytest.raises(Cancelled, match="after step 4"):
        pretrain(
            run,
            config,
            small_scans,
            device="cpu",
            cancelled=lambda: (
                bool(rows(run.job.events(), "step")[2:]) and bool(rows(run.job.events(), "validation"))
            ),
        )
    again = Run.open(run.folder)
    pretrain(again, again.config(), small_scans, device="cpu")
    files = sorted((run.folder / "tensorboard").iterdir())
    assert [platform.node() in path.name for path in files] == [False, False]
    first, second = map(events_in, files)
    assert second[0].file_version == "brain.Event:2"
    assert (second[1].session_log.status, second[1].step) == (1, 5)  # START: drop what is later
    losses = {
        event.step: value.simple_value
        for event in (*first, *second)
        for value in event.summary.value
        if value.tag == "step/loss"
    }
    assert losses == pytest.approx({row.step: row.fields["loss"] for row in rows(run.job.events(), "step")})
    tags = {value.tag for event in first for value in event.summary.value}
    assert {"step/gradient_norm", "step/data_wait", "validation/psnr_hidden", "step/learning_rate"} <= tags


def test_a_log_without_its_package_is_refused(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(MissingPackageError, match="Logging for TensorBoard needs the package tensorboardX"):
        train(tmp_path / "run", small_recipe(log=["tensorboard"]), small_scans)


def test_the_environment_is_described_without_names(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", small_recipe(steps=1), small_scans)
    text = (run.folder / "environment.json").read_text()
    (entry,) = json.loads(text)
    assert (entry["from_step"], entry["device"], entry["processes"]) == (0, "cpu", 1)
    assert entry["packages"]["torch"] == torch.__version__
    assert not any(word in text for word in (str(tmp_path), str(Path.home()), platform.node()))


def test_the_environment_notes_what_changed() -> None:
    environment = describe_environment(torch.device("cpu"), "32-true", 1)
    text = extended(extended(None, 0, environment), 5, environment)
    assert [entry["from_step"] for entry in json.loads(text)] == [0]
    text = extended(text, 8, {**environment, "threads": 99})
    assert [(entry["from_step"], entry["threads"] == 99) for entry in json.loads(text)] == [
        (0, False),
        (8, True),
    ]
    assert json.loads(extended("[{", 3, environment))[0]["from_step"] == 3


def test_speeds_are_those_of_the_last_steps_and_the_rest_is_estimated_from_all() -> None:
    now = [0.0]
    meter = Meter((2, 2, 2), lambda: now[0])
    for _ in range(5):
        now[0] += 10.0
        meter.tick(16)
    for _ in range(20):
        now[0] += 1.0
        speed = meter.tick(16)
    assert speed == pytest.approx(2.0)
    assert meter.seconds_left(25) == pytest.approx(70.0)


def test_fills_are_solved_once_for_a_volume_and_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(1, 1, 16, 16, 16, generator=generator)
    hidden = torch.rand(1, 2, 2, 2, generator=generator) > 0.5
    expected, solved, solve = smooth_fill(volume, hidden, (8, 8, 8)), list[int](), fill._solve

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        solved.append(1)
        return solve(*arguments)

    monkeypatch.setattr(fill, "_solve", counted)
    cache = FillCache()
    blank = volume * ~hidden.repeat_interleave(8, 1).repeat_interleave(8, 2).repeat_interleave(8, 3)[:, None]
    for _ in range(2):
        with cache:
            found = smooth_fill(volume, hidden, (8, 8, 8))
            assert torch.equal(found, expected)
            assert torch.equal(smooth_fill(blank, hidden, (8, 8, 8)), expected)
            found.zero_()
    assert len(solved) == 1
    with cache:
        assert not torch.equal(smooth_fill(volume, ~hidden, (8, 8, 8)), expected)
    smooth_fill(volume, hidden, (8, 8, 8))
    assert len(solved) == 3
