"""Volumes are segmented one after the other, until the last one, a failure or a person ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import slicer
from segmentjob import QuickJob

from MAESILCore.errors import ConfigError
from MAESILSlicerLib.results.segmentation import segmentationsOf
from MAESILSlicerLib.session import applying
from MAESILSlicerLib.session.applying import startSegmentation, startSeries
from MAESILSlicerLib.session.session import Session

if TYPE_CHECKING:
    from volumes import MakeVolume

SHAPE = (4, 5, 6)


@pytest.fixture
def session(scene: slicer.vtkMRMLScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(applying, "JobProcess", QuickJob)
    monkeypatch.setattr(QuickJob, "started", [], raising=False)
    session = Session(scene, jobsFolder=tmp_path / "jobs")
    yield session
    session.close()


@pytest.fixture
def volumes(makeVolume: MakeVolume) -> list[slicer.vtkMRMLScalarVolumeNode]:
    return [makeVolume(SHAPE, name=name) for name in ("a", "b", "c")]


def segmented(volumes: list[slicer.vtkMRMLScalarVolumeNode]) -> list[int]:
    return [len(segmentationsOf(node)) if node.GetScene() is not None else -1 for node in volumes]


def test_volumes_are_segmented_in_their_order(
    session: Session, volumes: list[slicer.vtkMRMLScalarVolumeNode]
) -> None:
    topics: list[frozenset[str]] = []
    session.changed.connect(topics.append)
    startSeries(session, volumes, "model")
    assert session.message == "Scan 1 of 3, a: Segmented 1 of 4 tiles."
    assert session.job.fraction == pytest.approx(0.25 / 3)
    # The other two take as long as the first.
    assert session.job.seconds_left == pytest.approx(90.0, abs=3.0)
    with pytest.raises(ConfigError, match="A segmentation is already running"):
        startSegmentation(session, volumes[2], "model")
    session.poll()
    assert session.isRunning
    assert segmented(volumes) == [1, 0, 0]
    assert session.made.main.GetName() == "a segmentation"
    assert "results" in topics[-1]
    session.poll()
    assert session.message == "Scan 2 of 3, b: Segmented 1 of 4 tiles."
    # One that is deleted before its turn is left out.
    session.scene.RemoveNode(volumes[2])
    while session.isRunning:
        session.poll()
    assert segmented(volumes) == [1, 1, -1]
    assert session.message == "Segmented 2 of 3 scans. c was left out: The volume is no longer in the scene."
    assert not session.failed
    assert QuickJob.started == [("a", "model"), ("b", "model")]
    assert not list(session.jobsFolder.iterdir())


@pytest.mark.parametrize("ending", ["cancelled", "failed", "deleted"])
def test_what_was_done_stays_when_a_series_ends_early(
    session: Session,
    volumes: list[slicer.vtkMRMLScalarVolumeNode],
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    startSeries(session, volumes, "model")
    session.poll()
    session.poll()
    if ending == "cancelled":
        session.cancel()
        assert session.job.state == "cancelling"
        assert session.message == "Scan 2 of 3, b: Cancelling."
        outcome = "Cancelled; what was done is kept: 1 of 3 scans."
    elif ending == "failed":
        monkeypatch.setattr(QuickJob, "ends", "failed")
        outcome = "Out of memory. Segmented 1 of 3 scans."
    else:
        session.scene.RemoveNode(volumes[1])
        outcome = "The volume was deleted, so its segmentation was stopped; nothing was kept."
    session.poll()
    assert not session.isRunning
    assert (session.message, session.failed) == (outcome, ending != "cancelled")
    assert segmented(volumes)[0] == 1
    assert segmented(volumes)[2] == 0
    assert not list(session.jobsFolder.iterdir())
