"""A running job of any kind: polls it, cancels it and imports its results into the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

from MAESILCore.errors import MaesilError
from MAESILCore.wording import joined
from MAESILSlicerLib.results.exports import KeptFiles
from MAESILSlicerLib.results.resultset import ResultSet, importResults

if TYPE_CHECKING:
    from MAESILCore.jobs.client import JobProcess


class Task:
    """One job of a scene. Call `poll` several times a second until `isOver`.

    Args:
        scene: receives the results.
        job: a job that has just been started.
        inputNode: the job's input volume; None for a kind without one, such as training.
        files: keeps the files that the job exports, if any.

    Attributes:
        job: as given.
        inputNode: as given.
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
    ) -> None:
        from MAESILCore.jobs.kinds import kind_of

        self.job, self.inputNode = job, inputNode
        self._scene, self._files = scene, files
        self.noun = kind_of(job.folder.description()[0]).noun
        self.results: ResultSet | None = None
        self.isOver = self.failed = False
        self.message = "Starting ..."
        self._voxelsTime = inputNode.GetImageData().GetMTime() if inputNode is not None else 0
        self._isTaking = False

    def poll(self) -> bool:
        """Process the job's events since the last call; return whether anything changed."""
        # Reentrant: a callback of a node being imported may call this again.
        if self.isOver or self._isTaking:
            return False
        events = self.job.poll()
        if not self.job.is_over:
            self.message = self.job.message if events else self.message
            return bool(events)
        self._isTaking = True
        message, failed = "The results cannot be shown because of an error in MAESIL; see the log.", True
        try:
            message, failed = self._take()
        finally:
            # Set together: until here the job counts as running and the message is its progress.
            self.isOver, self.message, self.failed = True, message, failed
            self._isTaking = False
        return True

    def cancel(self) -> None:
        """Request the end of the job; `poll` reports it."""
        self.job.cancel()
        self.message = "Cancelling ..."

    def stop(self) -> None:
        """Drop the job at once, without its results; an attached job ends."""
        self.job.close()
        self.isOver = True

    def _take(self) -> tuple[str, bool]:
        """Import the ended job's results and close it; return the message and whether the job failed."""
        try:
            if self.job.state != "finished":
                return self.job.message, self.job.state == "failed"
            note = self._noteOnVoxels()
            self.results = importResults(self._scene, self.inputNode, self.job.folder.path, note)
            self._keepFiles()
            return joined(self.job.message, note), False
        except MaesilError as error:
            return str(error), True
        finally:
            self.job.close()

    def _noteOnVoxels(self) -> str:
        """A sentence if the input's voxels were edited while the job ran, else ""."""
        image = self.inputNode.GetImageData() if self.inputNode is not None else None
        if image is None or image.GetMTime() == self._voxelsTime:
            return ""
        return "Voxels of the volume were edited meanwhile; the results are of those before."

    def _keepFiles(self) -> None:
        if self._files is None or self.inputNode is None:
            return
        written = self.job.folder.path / "export"
        if written.is_dir():
            self._files.keep(written, self.inputNode)
        else:
            self._files.forget()
