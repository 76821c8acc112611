"""Applies a learned segmentation to one volume, or to several ones after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from MAESILCore.jobs.client import JobProcess
from MAESILCore.jobs.segmentation import prepare_segmentation
from MAESILSlicerLib.scene.volumes import readVolume
from MAESILSlicerLib.session.series import Scan, Series, SkippedError
from MAESILSlicerLib.session.tasks import Task
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.results.resultset import ResultSet
    from MAESILSlicerLib.session.session import Session


def startSegmentation(
    session: Session,
    volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
    model: str | Path,
    device: str = "auto",
    batchSize: int | None = None,
) -> None:
    """Start a job that outlines the structures of a model in a volume, and return at once.

    Args:
        session: follows the job, and imports its results.
        volumeNode: the volume, not necessarily the shown one.
        model: run folder or checkpoint of a segmentation training.
        device: auto, cpu, cuda, cuda:N or mps.
        batchSize: tiles per pass; None is the device's default.

    Raises:
        MaesilError: there is no usable volume, a job is already running, or the job's folder cannot be written.
    """
    session.requireNoTask()
    session.take(segmentationTask(session, volumeNode, model, device, batchSize))


def startSeries(
    session: Session,
    volumeNodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
    model: str | Path,
    device: str = "auto",
    batchSize: int | None = None,
) -> None:
    """Start to outline the structures of a model in volumes of the scene, one after the other, and return at once.

    Volumes that are deleted meanwhile are left out.

    Args:
        session: follows the jobs, and imports their results.
        volumeNodes: the volumes.
        model: as for `startSegmentation`.
        device: as for `startSegmentation`.
        batchSize: as for `startSegmentation`.

    Raises:
        MaesilError: the first job cannot be started, or a job is already running.
    """

    def begin(node: slicer.vtkMRMLScalarVolumeNode) -> Task:
        if node.GetScene() is not session.scene:
            raise SkippedError(sentence("segment.gone"))
        return segmentationTask(session, node, model, device, batchSize)

    followSeries(session, [Scan(node.GetName(), partial(begin, node)) for node in volumeNodes])


def followSeries(session: Session, scans: Sequence[Scan]) -> None:
    """Start to segment scans one after the other.

    Raises:
        MaesilError: the first job cannot be started, or a job is already running.
    """
    session.requireNoTask()
    series = Series(scans)
    series.begin()
    session.take(series)


def segmentationTask(
    session: Session,
    volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
    model: str | Path,
    device: str = "auto",
    batchSize: int | None = None,
) -> Task:
    """A newly started job that outlines the structures of a model in a volume; arguments and errors as above."""
    folder = prepare_segmentation(
        session.jobsFolder, readVolume(volumeNode), model, device=device, batch_size=batchSize
    )
    return startedTask(session, folder, volumeNode)


def startedTask(
    session: Session,
    folder: Path,
    volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None,
    importer: Callable[[Path, str], ResultSet | None] | None = None,
) -> Task:
    """Start the job in a prepared folder; arguments as for `Task`."""
    job = JobProcess(folder, session.python)
    job.start()
    return Task(session.scene, job, volumeNode, importer=importer)
