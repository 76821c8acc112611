"""A running job of any kind, seen from a scene: watched, cancelled, and its results imported when it has finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.results.exports import KeptFiles
from MAESILSlicerLib.results.resultset import ResultSet, importResults

if TYPE_CHECKING:
    from MAESILCore.jobs.client import JobProcess


class Task:
    """One job of a scene. Call `poll` some times a second until `isOver`.

    Args:
        scene: gets the results.
        job: just started.
        inputNode: the volume that the job is about; None for a kind that is about none, such as a training.
        files: keeps what the job has written for other programs, if anything.

    Attributes:
        job: as given.
        inputNode: as given.
        noun: what sentences call the job, such as "reconstruction".
        results: what the job has made, once it is over; None if nothing.
        isOver: whether the job has ended and its results are imported.
        message: the last sentence; when the task is over, how it ended.
        failed: whether that sentence is about something that went wrong.
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
        """Take in what the job has told since the last call; True when something has changed."""
        # A callback of a node that is being imported may call this again.
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
            # All at once: until here the job runs, and the message is about its progress.
            self.isOver, self.message, self.failed = True, message, failed
            self._isTaking = False
        return True

    def cancel(self) -> None:
        """Ask the job to end; `poll` tells when it has."""
        self.job.cancel()
        self.message = "Cancelling ..."

    def stop(self) -> None:
        """Let go of the job at once, without its results; an attached one ends."""
        self.job.close()
        self.isOver = True

    def _take(self) -> tuple[str, bool]:
        """Import what the ended job has made, and close it; the last sentence, and whether it failed."""
        try:
            if self.job.state != "finished":
                return self.job.message, self.job.state == "failed"
            note = self._noteOnVoxels()
            self.results = importResults(self._scene, self.inputNode, self.job.folder.path, note)
            self._keepFiles()
            return " ".join(filter(None, (self.job.message, note))), False
        except MaesilError as error:
            return str(error), True
        finally:
            self.job.close()

    def _noteOnVoxels(self) -> str:
        """A sentence if the voxels of the input were edited while the job ran, else ""."""
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
