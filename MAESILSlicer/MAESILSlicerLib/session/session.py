"""One person's work on one volume: what is shown of it, the job that reconstructs it, and what came of that.

The desktop module and the browser face show this and press its buttons; neither Qt nor trame is known here.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
import vtk

from MAESILCore.errors import ConfigError
from MAESILSlicerLib.results.exports import KeptFiles
from MAESILSlicerLib.results.resultset import ResultSet, kindOf
from MAESILSlicerLib.scene.nodes import inputOf, roleOf
from MAESILSlicerLib.session.choices import Nothing, ReconstructionChoices, Region, StudyChoices
from MAESILSlicerLib.session.jobs import startJob
from MAESILSlicerLib.session.shown import ShownStudy
from MAESILSlicerLib.session.tasks import Task

if TYPE_CHECKING:
    from MAESILCore.jobs.client import JobProcess


class Session(ShownStudy):
    """The state of the work on one volume of a scene.

    A face builds `StudyChoices` and applies them, listens to `changed`, and, while `isRunning`, calls `poll` several
    times a second.

    Args:
        scene: the MRML scene; the application's by default.
        jobsFolder: where job folders are made; a temporary folder of the machine by default.
        python: the interpreter that runs jobs; the one that runs this by default.

    Attributes: those of `ShownStudy`, and
        task: the running job, of the shown volume or of another one; None if none runs.
        made: what the job that ended last has made, of whichever volume; None if nothing, or once part of it is gone.
        message: one sentence on what happened last; how the job ended as soon as `isRunning` is False.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene | None = None,
        jobsFolder: Path | None = None,
        python: str | None = None,
    ) -> None:
        super().__init__(scene or slicer.mrmlScene)
        self.jobsFolder = Path(jobsFolder or Path(tempfile.gettempdir()) / "MAESIL")
        self.python = python
        self.task: Task | None = None
        self.made: ResultSet | None = None
        self._files = KeptFiles(self.jobsFolder)
        self._observations = [
            self.scene.AddObserver(
                slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved
            ),
            self.scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._onSceneClosing),
        ]

    # Tasks

    @property
    def isRunning(self) -> bool:
        """Whether a job is under way, a cancelled one that has not ended yet included."""
        return self.task is not None

    @property
    def job(self) -> JobProcess | None:
        """The job of the running task."""
        return self.task.job if self.task is not None else None

    @property
    def exportFolder(self) -> Path | None:
        """The files of the volume's newest reconstruction; None if none were written.

        They are deleted when another reconstruction has ended, and with their volume, the scene or the session.
        """
        return self._files.of(self.volumeNode)

    def startReconstruction(self, choices: ReconstructionChoices) -> None:
        """Start a job in a process of its own and return at once.

        Raises:
            MaesilError: no usable volume, no mask, one job is running already, or the job's folder cannot be written.
        """
        self._requireNoTask()
        if self.grid is None:
            raise ConfigError(self.check.problem or "Choose a volume.")
        if self.mask is None:
            message = "Nothing is hidden; choose what is to be hidden first."
            raise ConfigError(message)
        if choices.coverage and self.isRegion:
            message = "A region is hidden as it is: choose the single mask instead of a coverage."
            raise ConfigError(message)
        job = startJob(self.jobsFolder, self.python, self.choices, self.model, self.mask, choices)
        logging.info("MAESIL: reconstruction started on %s", choices.device)
        self.follow(job, self.volumeNode)

    def follow(self, job: JobProcess, inputNode: slicer.vtkMRMLScalarVolumeNode | None = None) -> None:
        """Make a job of any kind, which has just been started, the running task.

        Args:
            job: its results are imported when it has finished, as its kind wants it.
            inputNode: the volume that it is about, if any; the job is stopped when that changes its shape.

        Raises:
            ConfigError: one job is running already; the new one is stopped.
        """
        try:
            self._requireNoTask()
        except ConfigError:
            job.close()
            raise
        self.task = Task(self.scene, job, inputNode, self._files)
        self._changed(self.task.message)

    def _requireNoTask(self) -> None:
        if self.task is not None:
            message = f"A {self.task.noun} is running already; wait for it, or cancel it."
            raise ConfigError(message)

    def poll(self) -> bool:
        """Take in what the job has told since the last call; True when something has changed."""
        task = self.task
        if task is None:
            return False
        hasChanged = False
        try:
            hasChanged = task.poll()
        finally:
            if task.isOver:
                self.task, self.made = None, task.results
                # If another volume is shown by now, the results are in the scene all the same.
                if self.made is not None and task.inputNode is self.volumeNode:
                    self.results = self.made
            if hasChanged or task.isOver:
                self._changed(task.message, task.failed, *(("results",) if task.isOver else ()))
        return hasChanged

    def cancel(self) -> None:
        """Ask the running job to end; `poll` tells when it has."""
        if self.task is not None:
            self.task.cancel()
            self._changed(self.task.message)

    def stop(self, reason: str) -> None:
        """End the job at once, without its results, and tell why in a sentence; nothing needs to run."""
        # Told once: who waits for the job takes the first message after it for how it ended.
        self._dropTask()
        self._changed(reason, True, "results")

    def _stopAtOnce(self) -> None:
        if self._dropTask():
            self._changed("", False, "results")

    def _dropTask(self) -> bool:
        """Let go of the running task; whether there was one."""
        task, self.task = self.task, None
        if task is not None:
            task.stop()
            self.made = None
        return task is not None

    def _taskOf(self, node: slicer.vtkMRMLNode | None) -> Task | None:
        """The running task, if it is about this volume."""
        return self.task if self.task is not None and self.task.inputNode is node is not None else None

    def _stopFor(self, task: Task, reason: str) -> None:
        """Stop a task because its volume is not there any more as it was."""
        self.stop(f"{reason}, so its {task.noun} was stopped; nothing was kept.")

    # The scene

    def _onVolumeChanged(self) -> None:
        stopped = self._taskOf(self.volumeNode)
        super()._onVolumeChanged()
        if stopped is not None:
            self._stopFor(stopped, "The volume was cropped, moved or otherwise changed")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        stopped = self._taskOf(node)
        self._forgetResult(node)
        if self._files.isOf(node):
            self._files.forget()
        if node is self.volumeNode:
            self.change(volume=None)
        region = self.choices.region
        if isinstance(region, Region) and region.node is node:
            self.change(region=Nothing("The hidden region was deleted; choose what to hide."))
        if stopped is not None:
            self._stopFor(stopped, "The volume was deleted")

    def _forgetResult(self, node: slicer.vtkMRMLNode) -> None:
        """Let go of results that are no longer complete: volumes in Python's hands stay in memory."""
        if self.made is not None and node in self.made.nodes:
            self.made = None
        if self.results is not None and node in self.results.nodes:
            self.results = None
        kind = kindOf(node)
        if kind is None or self.volumeNode is None or inputOf(node) is not self.volumeNode:
            return
        if self.isRunning or kind.role(roleOf(node)).isOptional:
            self._tell("results")
        else:
            sentence = f'"{node.GetName()}" was deleted, without which its {kind.name} is not shown here.'
            self._changed(sentence, False, "results")

    def _onSceneClosing(self, _caller: object, _event: str) -> None:
        self._stopAtOnce()
        self._files.forget()
        self.made = None
        self.apply(StudyChoices(model=self._usedModel, strategy=self.choices.strategy))

    def close(self) -> None:
        """End the job, take the overlays out of the scene and stop watching it; results stay."""
        self._stopAtOnce()
        self._files.forget()
        for observation in self._observations:
            self.scene.RemoveObserver(observation)
        self._observations = []
        super().close()
