"""The work on one volume, without a window: grid, mask, job, results, and what may go wrong between them."""

from __future__ import annotations

import errno
import gc
import os
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer

from MAESILCore.errors import CheckpointError, ConfigError, MaesilError
from MAESILCore.lattice import MaskStrategy
from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.scene.nodes import findNodes, inputOf
from MAESILSlicerLib.scene.regions import placeRoi
from MAESILSlicerLib.session.choices import Nothing, ReconstructionChoices, Region
from MAESILSlicerLib.session.models import readModelInfo
from MAESILSlicerLib.session.session import Session
from volumes import MakeVolume, putUnderBent

SINGLE = ReconstructionChoices(coverage=0, device="cpu")
TIMEOUT_SECONDS = 120.0


@pytest.fixture
def session(scene: slicer.vtkMRMLScene, tiny_model: Path, tmp_path: Path) -> Iterator[Session]:
    session = Session(scene, jobsFolder=tmp_path / "Jöbs")
    session.change(model=tiny_model)
    yield session
    session.close()


def finish(session: Session, until: Callable[[], bool] = lambda: False) -> None:
    """Poll as a window does, until the job is over or something is the case."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while session.isRunning and not until():
        session.poll()
        assert time.monotonic() < deadline, session.message
        time.sleep(0.02)


def jobFolders(session: Session) -> list[Path]:
    return [path for path in session.jobsFolder.glob("*") if not path.name.startswith("export-")]


def test_a_volume_gets_a_grid_and_a_mask(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(shape=(24, 32, 40)))
    assert session.check.usable
    assert session.grid.lattice_shape == (6, 8, 10)
    assert session.mask.shape == (6, 8, 10)
    assert session.overlays.maskNode is not None


def test_the_same_choices_draw_the_same_mask(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume())
    drawn = []
    for seed in (7, 8, 7):
        session.change(seed=seed)
        drawn.append(session.mask.stages)
    np.testing.assert_array_equal(drawn[2], drawn[0])
    assert (drawn[0] != drawn[1]).any()


def test_choices_that_are_in_use_change_nothing(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(), superpatch=0)
    mask, topics = session.mask, []
    session.changed.connect(topics.append)
    session.apply(session.choices)
    session.change(strategy=MaskStrategy(), display=OverlayDisplay())
    assert session.mask is mask
    assert topics == []
    session.change(seed=1, display=OverlayDisplay(grid=False))
    assert session.mask is not mask
    assert topics == [{"mask", "job"}]


def test_each_part_of_the_choices_is_applied_also_when_another_cannot_be(
    session: Session, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    volume = makeVolume()
    session.change(
        model=tmp_path / "missing.safetensors", volume=volume, region=Nothing("Not now."), superpatch=99
    )
    assert session.model.name == "tiny"
    assert session.volumeNode is volume
    assert session.mask is None
    assert session.superpatch is None
    assert "missing.safetensors" in str(session.problem)
    assert str(session.problems["mask"]) == "Not now."
    session.change(model=session.model.path, region=None, superpatch=0)
    assert session.problems == {}
    assert session.mask.hidden.any()
    assert session.superpatch == 0


def test_planes_may_be_stacked_along_any_axis(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(), strategy=MaskStrategy("plane", plane_axis="i"))
    hidden = session.mask.crop(session.grid.box(0)).hidden
    planes = hidden.reshape(-1, hidden.shape[2])
    assert (planes == planes[0]).all()
    assert 0 < planes[0].sum() < len(planes[0])


def test_a_region_that_was_moved_or_deleted_is_made_again(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    session.change(volume=makeVolume(shape=(16, 16, 16)))
    placeRoi(roi, session.volumeNode)
    session.change(region=Region(roi))
    before, topics = session.mask, []
    session.changed.connect(topics.append, "moved")
    roi.SetCenter(1.0, 1.0, 1.0)
    assert topics[-1] == {"moved"}
    assert session.mask is before
    session.apply(session.choices)
    assert (session.mask.hidden != before.hidden).any()
    scene.RemoveNode(roi)
    assert session.mask is None
    assert "was deleted" in str(session.problem)


def test_a_damaged_checkpoint_leaves_the_model(session: Session, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(session.model.path.read_bytes()[:-100])
    session.change(model=damaged)
    assert isinstance(session.problems["model"], CheckpointError)
    assert "damaged" in str(session.problem)
    assert session.model.name == "tiny"


def test_the_bundled_model_has_a_card() -> None:
    info = readModelInfo()
    assert info.superpatchSize == (128, 128, 128)
    assert "CT scans" in info.lines[2]


@pytest.mark.parametrize("coverage", [0, 4])
def test_a_reconstruction_ends_in_nodes_and_leaves_no_folder(
    session: Session, makeVolume: MakeVolume, coverage: int
) -> None:
    volume = makeVolume(angles=(10.0, 5.0, 20.0))
    session.change(volume=volume)
    session.startReconstruction(ReconstructionChoices(coverage=coverage, device="cpu"))
    assert session.isRunning
    finish(session)
    assert not session.failed, session.message
    assert session.results.error.GetImageData().GetDimensions() == volume.GetImageData().GetDimensions()
    assert (session.results.uncertainty is not None) == (coverage > 0)
    assert jobFolders(session) == []


def test_the_mask_that_is_shown_is_the_one_that_is_used(session: Session, makeVolume: MakeVolume) -> None:
    volume = makeVolume(shape=(16, 16, 16))
    session.change(volume=volume)
    session.change(strategy=MaskStrategy("random", ratio=0.3), seed=5)
    session.startReconstruction(SINGLE)
    finish(session)
    hidden = session.grid.expand(session.mask.hidden)
    seen = slicer.util.arrayFromVolume(session.results.mosaic)
    np.testing.assert_array_equal(seen[~hidden], slicer.util.arrayFromVolume(volume)[~hidden])
    error = slicer.util.arrayFromVolume(session.results.error)
    assert (error[~hidden] == 0).all()
    assert (error[hidden] != 0).any()


def test_a_region_is_hidden_as_it_is(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    session.change(volume=makeVolume(shape=(16, 16, 16)))
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenter(5.5, 5.5, 5.5)
    roi.SetSize(4.0, 4.0, 4.0)
    session.change(region=Region(roi))
    assert 0 < session.mask.hidden.sum() <= 8
    with pytest.raises(ConfigError, match="single mask"):
        session.startReconstruction(ReconstructionChoices(coverage=4))
    session.startReconstruction(SINGLE)
    finish(session)
    assert session.results is not None


def test_without_a_mask_nothing_is_reconstructed(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(shape=(16, 16, 16)))
    session.change(region=Nothing())
    for choices in (SINGLE, ReconstructionChoices(coverage=4)):
        with pytest.raises(ConfigError, match="There is no mask"):
            session.startReconstruction(choices)
    assert not session.isRunning
    session.change(region=None)
    assert session.overlays.maskNode.GetDisplayNode().GetVisibility()


def test_cancelling_keeps_nothing(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    session.change(volume=makeVolume())
    before = scene.GetNumberOfNodes()
    session.startReconstruction(SINGLE)
    session.cancel()
    start = time.monotonic()
    finish(session)
    assert time.monotonic() - start < 30.0
    assert session.message == "Cancelled; nothing was kept."
    assert not session.failed
    assert scene.GetNumberOfNodes() == before
    assert jobFolders(session) == []


def test_two_jobs_at_a_time_are_refused(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume())
    session.startReconstruction(SINGLE)
    with pytest.raises(ConfigError, match="already running"):
        session.startReconstruction(SINGLE)
    session.cancel()
    finish(session)


def test_without_a_volume_nothing_starts(session: Session) -> None:
    session.change(volume=None)
    with pytest.raises(MaesilError):
        session.startReconstruction(SINGLE)
    assert not session.isRunning


def test_deleting_the_volume_ends_its_job(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    volume = makeVolume()
    session.change(volume=volume)
    session.startReconstruction(SINGLE)
    scene.RemoveNode(volume)
    assert not session.isRunning
    assert session.failed
    assert "deleted" in session.message
    assert session.volumeNode is None
    assert findNodes(scene, "mask") == []
    assert jobFolders(session) == []


def test_closing_the_scene_ends_the_job(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    session.change(volume=makeVolume())
    session.startReconstruction(SINGLE)
    scene.Clear(False)
    assert not session.isRunning
    assert session.volumeNode is None
    assert jobFolders(session) == []
    session.change(volume=makeVolume())
    assert session.check.usable


def test_results_belong_to_the_volume_that_was_reconstructed(
    session: Session, makeVolume: MakeVolume
) -> None:
    volume, other = makeVolume(name="First"), makeVolume(shape=(8, 8, 8), name="Second")
    session.change(volume=volume)
    session.startReconstruction(SINGLE)
    session.change(volume=other)
    finish(session)
    assert not session.failed, session.message
    assert session.results is None
    assert [inputOf(node).GetName() for node in findNodes(session.scene, "error")] == ["First"]


def test_a_volume_that_is_cropped_or_moved_in_place_gets_a_new_grid(
    session: Session, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(shape=(24, 32, 40))
    session.change(volume=volume)
    session.startReconstruction(SINGLE)
    slicer.util.updateVolumeFromArray(volume, np.zeros((16, 16, 16), np.int16))
    assert session.grid.lattice_shape == (4, 4, 4)
    assert not session.isRunning
    assert session.failed
    assert "changed" in session.message
    volume.SetOrigin(10.0, 0.0, 0.0)
    bounds = [0.0] * 6
    session.overlays.gridNode.GetRASBounds(bounds)
    assert bounds[0] == pytest.approx(9.5)


def test_a_bent_volume_has_no_grid_until_it_is_straight_and_its_job_goes_on(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    volume = makeVolume()
    session.change(volume=volume)
    stages = session.mask.stages
    session.startReconstruction(SINGLE)
    putUnderBent(scene, volume)
    assert "not linear" in session.check.problem
    assert session.grid is None
    assert session.overlays.gridNode is None
    finish(session)
    assert session.results is not None
    volume.SetAndObserveTransformNodeID(None)
    assert session.check.usable
    np.testing.assert_array_equal(session.mask.stages, stages)
    assert session.results is not None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_worker_is_reported_in_a_sentence(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(shape=(64, 64, 64)))
    session.startReconstruction(SINGLE)
    os.kill(session.job._process.pid, signal.SIGKILL)
    finish(session)
    assert session.failed
    assert session.message.endswith(".")
    assert session.results is None
    assert jobFolders(session) == []


def test_results_that_cannot_be_read_leave_no_nodes(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    session.change(volume=makeVolume())
    before = scene.GetNumberOfNodes()
    session.startReconstruction(SINGLE)
    session.job.wait(TIMEOUT_SECONDS)
    (session.job.folder.path / "mosaic.npy").write_bytes(b"")
    session.poll()
    assert session.failed
    assert session.results is None
    assert scene.GetNumberOfNodes() == before


def test_files_for_other_programs_outlive_the_job(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(shape=(16, 16, 16)))
    session.startReconstruction(ReconstructionChoices(coverage=0, device="cpu", export=True))
    finish(session)
    assert (session.exportFolder / "reconstruction.nii.gz").is_file()
    first = session.exportFolder
    session.startReconstruction(ReconstructionChoices(coverage=0, device="cpu", export=True))
    finish(session)
    assert session.exportFolder.is_dir()
    assert not first.exists()
    session.close()
    assert not session.exportFolder


EXPORTED = ReconstructionChoices(coverage=0, device="cpu", export=True)


def test_files_are_those_of_the_volume_that_is_shown(session: Session, makeVolume: MakeVolume) -> None:
    volume, other = makeVolume(shape=(16, 16, 16)), makeVolume(shape=(8, 8, 8))
    session.change(volume=volume)
    session.startReconstruction(EXPORTED)
    finish(session)
    folder = session.exportFolder
    session.change(volume=other)
    assert session.exportFolder is None
    session.change(volume=volume)
    assert session.exportFolder == folder
    session.startReconstruction(SINGLE)
    finish(session)
    assert session.exportFolder is None  # They were not those of the newest results any more.
    assert not folder.exists()


def test_files_go_with_their_volume(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    volume = makeVolume(shape=(16, 16, 16))
    session.change(volume=volume)
    session.startReconstruction(EXPORTED)
    finish(session)
    folder = session.exportFolder
    scene.RemoveNode(volume)
    assert not folder.exists()


def test_a_disk_that_fills_up_at_the_end_is_reported_and_leaves_the_results(
    session: Session, makeVolume: MakeVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    session.change(volume=makeVolume(shape=(16, 16, 16)))
    session.startReconstruction(EXPORTED)
    session.job.wait(TIMEOUT_SECONDS)
    monkeypatch.setattr(Path, "rename", refuse)
    messages: list[str] = []
    session.changed.connect(lambda _topics: messages.append(session.message))
    session.poll()
    assert session.failed
    assert "No space left on device" in messages[-1]
    assert session.results is not None
    assert session.exportFolder is None
    assert list(session.jobsFolder.iterdir()) == []


@pytest.mark.parametrize("isEdited", [False, True])
def test_results_say_whether_voxels_were_edited_meanwhile(
    session: Session, makeVolume: MakeVolume, isEdited: bool
) -> None:
    volume = makeVolume(shape=(16, 16, 16))
    session.change(volume=volume)
    session.startReconstruction(SINGLE)
    if isEdited:
        slicer.util.arrayFromVolume(volume)[:4] = 0
        slicer.util.arrayFromVolumeModified(volume)
    finish(session)
    assert not session.failed, session.message
    for text in (session.message, session.results.error.GetDescription()):
        assert ("edited meanwhile" in text) == isEdited


def test_deleted_volumes_are_forgotten(
    session: Session, makeVolume: MakeVolume, scene: slicer.vtkMRMLScene
) -> None:
    volume = makeVolume(shape=(16, 16, 16))
    session.change(volume=volume)
    session.startReconstruction(SINGLE)
    finish(session)
    kept = [weakref.ref(node) for node in (volume, session.results.error)]
    seen: list[object] = []
    session.changed.connect(lambda _topics: seen.append(session.results))
    scene.RemoveNode(session.results.error)
    assert seen == [None]
    assert session.message.startswith('"CT error" was deleted')
    scene.RemoveNode(volume)
    del volume
    gc.collect()
    assert [node() for node in kept] == [None, None]


def test_a_listener_is_called_for_its_topics(session: Session, makeVolume: MakeVolume) -> None:
    received: list[frozenset[str]] = []
    listener = lambda topics: received.append(topics)  # noqa: E731 - connected and disconnected by identity
    session.changed.connect(listener, "volume")
    session.change(volume=makeVolume())
    assert "volume" in received[0]
    session.change(seed=3)
    assert len(received) == 1
    session.changed.disconnect(listener)
    session.change(volume=None)
    assert len(received) == 1
    with pytest.raises(ValueError, match="no topic weather"):
        session.changed.emit("weather")
