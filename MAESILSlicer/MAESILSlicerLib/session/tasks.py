"""A running job of any kind: polls it, cancels it and imports its results into the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from MAESILCore.errors import MaesilError
from MAESILCore.wording import joined
from MAESILSlicerLib.results.exports import KeptFiles
from MAESILSlicerLib.results.resultset import ResultSet, importResults
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.client import JobProcess


class Task:
    """One job of a scene. Call `poll` several times a second until `isOver`.

    Args:
        scene: receives the results.
        job: a job that has just been started.
        inputNode: the job's input volume; None for a kind without one, such as training.
        files: keeps the files that the job exports, if any.
        importer: called with the folder of the finished job and a note on its results; returns those in the scene. By
            default, `importResults` adds them beside the input.

    Attributes:
        job: as given.
        inputNode: as given.
        kind: the job's kind, such as "reconstruction".
        noun: the job's name in messages, such as "reconstruction".
        results: the results, once the job is over; None if there are none.
        isOver: whether the job has ended and its results are imported.
        message: the latest message; once the task is over, its outcome.
        failed: whether `message` reports a failure.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        job: JobProcess,
        inputNode: slicer.vtkMRMLScalarVolumeNode | None = None,
        files: KeptFiles | None = None,
        importer: Callable[[Path, str], ResultSet | None] | None = None,
    ) -> None:
        from MAESILCore.jobs.kinds import kind_of

        self.job, self.inputNode = job, inputNode
        self._scene, self._files, self._importer = scene, files, importer
        self.kind = job.folder.description()[0]
        self.noun = kind_of(self.kind).noun
        self.results: ResultSet | None = None
        self.isOver = self.failed = False
        self.message = job.message
        self._voxelsTime = inputNode.GetImageData().GetMTime() if inputNode is not None else 0
        self._isImporting = False

    @property
    def folder(self) -> Path:
        """The job's folder."""
        path: Path = self.job.folder.path
        return path

    def poll(self) -> bool:
        """Process the job's events since the last call; return whether anything changed."""
        # Reentrant: a callback of a node being imported may call this again.
        if self.isOver or self._isImporting:
            return False
        events = self.job.poll()
        if not self.job.is_over:
            self.message = self.job.message if events else self.message
            return bool(events)
        self._isImporting = True
        message, failed = sentence("task.import-failed"), True
        try:
            message, failed = self._import()
        finally:
            # Set together: until here the job counts as running and the message is its progress.
            self.isOver, self.message, self.failed = True, message, failed
            self._isImporting = False
        return True

    def cancel(self) -> None:
        """Request the end of the job; `poll` reports it."""
        self.job.cancel()
        self.message = self.job.message

    def stop(self) -> None:
        """Drop the job at once, without its results; an attached job ends."""
        self.job.close()
        self.isOver = True

    def _import(self) -> tuple[str, bool]:
        """Import the ended job's results and close it; return the message and whether the job failed."""
        try:
            if self.job.state != "finished":
                return self.job.message, self.job.state == "failed"
            note = self._noteOnVoxels()
            if self._importer is not None:
                self.results = self._importer(self.folder, note)
            else:
                self.results = importResults(self._scene, self.inputNode, self.folder, note)
            isCompared = self.results is None or not self.results.kind.hasOwnSection
            if self._files is not None and self.inputNode is not None and isCompared:
                self._files.keep(self.folder / "export", self.inputNode)
            return joined(self.job.message, note), False
        except MaesilError as error:
            return str(error), True
        finally:
            self.job.close()

    def _noteOnVoxels(self) -> str:
        """A sentence if the input's voxels were edited while the job ran, else ""."""
        image = self.inputNode.GetImageData() if self.inputNode is not None else None
        isEdited = image is not None and image.GetMTime() != self._voxelsTime
        return sentence("task.voxels-edited") if isEdited else ""
