"""One user's work on one volume: its overlays, its reconstruction job and the results.

The desktop module and the browser face both drive this class; it imports neither Qt nor trame.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
import vtk

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import SuperpatchGrid
from MAESILSlicerLib.results.exports import KeptFiles
from MAESILSlicerLib.results.resultset import ResultSet, kindOf
from MAESILSlicerLib.scene.nodes import inputOf, roleOf
from MAESILSlicerLib.scene.volumes import readVolume
from MAESILSlicerLib.scene.watch import Observations
from MAESILSlicerLib.session.choices import Nothing, ReconstructionChoices, Region, StudyChoices
from MAESILSlicerLib.session.series import Series, SeriesProgress
from MAESILSlicerLib.session.shown import ShownStudy
from MAESILSlicerLib.session.tasks import Task
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.client import JobProcess


class Session(ShownStudy):
    """The state of the work on one volume of a scene.

    A face builds `StudyChoices` and applies them, listens to `changed`, and, while `isRunning`, calls `poll` several
    times a second.

    Args:
        scene: the MRML scene; the application's by default.
        jobsFolder: the parent of the job folders; a temporary folder by default.
        python: the interpreter that runs jobs; the current one by default.

    Attributes: those of `ShownStudy`, and
        task: the running job, for the shown volume or another one, or series of jobs; None if none runs.
        made: newest results of the last task, for any volume; None if it made none or part of them was deleted.
        message: one sentence about the last event; once `isRunning` is False, about the end of the job.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene | None = None,
        jobsFolder: Path | None = None,
        python: str | None = None,
    ) -> None:
        super().__init__(scene or slicer.mrmlScene)
        self.jobsFolder = jobsFolder or Path(tempfile.gettempdir()) / "MAESIL"
        self.python = python or sys.executable
        self.task: Task | Series | None = None
        self.made: ResultSet | None = None
        self._files = KeptFiles(self.jobsFolder)
        self._observations = Observations()
        for event, callback in (
            (slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved),
            (slicer.vtkMRMLScene.StartCloseEvent, self._onSceneClosing),
        ):
            self._observations.add(self.scene, event, callback)

    # Tasks

    @property
    def isRunning(self) -> bool:
        """Whether a job is running; True also while a cancelled job is ending."""
        return self.task is not None

    @property
    def job(self) -> JobProcess | SeriesProgress | None:
        """The progress of the running task: that of its job, or of a whole series."""
        return self.task.job if self.task is not None else None

    @property
    def jobFolder(self) -> Path | None:
        """The folder of the running job."""
        return self.task.folder if self.task is not None else None

    @property
    def exportFolder(self) -> Path | None:
        """The folder of the files of the volume's newest reconstruction; None if none were written.

        The files are deleted when another reconstruction ends, and with their volume, the scene or the session.
        """
        return self._files.of(self.volumeNode)

    def startReconstruction(self, choices: ReconstructionChoices) -> None:
        """Start a job in a process of its own and return at once.

        Raises:
            MaesilError: there is no usable volume or no mask, a job is already running, or the job's folder cannot be
                written.
        """
        self.requireNoTask()
        problem = self.check.problem or self.problems.get("volume")
        if problem is not None:
            raise ConfigError(str(problem))
        if self.mask is None:
            raise ConfigError(sentence("study.no-mask"))
        if choices.coverage and self.isRegion:
            raise ConfigError(sentence("study.region-coverage"))
        if not self.hidesPatches:
            choices = replace(choices, coverage=0, controls=())
        job = self._startJob(choices)
        logging.info("MAESIL: reconstruction started on %s", choices.device)
        self.follow(job, self.volumeNode)

    def _startJob(self, choices: ReconstructionChoices) -> JobProcess:
        from MAESILCore.jobs.client import JobProcess
        from MAESILCore.jobs.reconstruction import prepare_reconstruction

        if choices.overlap is not None:
            # Checked here, because the valid range depends on the model, which the request does not know.
            SuperpatchGrid(self.grid.shape, self.model.superpatchSize, self.model.patchSize, choices.overlap)
        request = prepare_reconstruction(
            self.jobsFolder,
            readVolume(self.volumeNode),
            # A coverage draws its own masks.
            mask=None if choices.coverage else self.mask,
            model=str(self.model.path),
            strategy=self.choices.strategy,
            seed=self.choices.seed,
            coverage=choices.coverage,
            device=choices.device,
            batch_size=choices.batchSize,
            overlap=choices.overlap,
            window=choices.window,
            scores=choices.scores,
            export=choices.export,
            controls=choices.controls,
        )
        job = JobProcess(request.folder, self.python)
        job.start()
        return job

    def startFeatures(
        self, model: str | None = None, level: int = -1, device: str = "auto", batchSize: int | None = None
    ) -> None:
        """Start a job for the features of the shown volume and return at once.

        Args:
            model: a checkpoint file, a run folder or a bundled name, also of a model that gives no voxels; None is the
                session's model.
            level: index of its feature level; negative ones count from the deepest.
            device: auto, cpu, cuda, cuda:N or mps.
            batchSize: superpatches per pass; None is the device's default.

        Raises:
            MaesilError: there is no usable volume, a job is already running, or the job's folder cannot be written.
        """
        from MAESILCore.jobs.client import JobProcess
        from MAESILCore.jobs.features import prepare_features

        self.requireNoTask()
        problem = self.check.problem
        if problem is not None:
            raise ConfigError(str(problem))
        folder = prepare_features(
            self.jobsFolder,
            readVolume(self.volumeNode),
            model=model or str(self.model.path),
            level=level,
            device=device,
            batch_size=batchSize,
        )
        job = JobProcess(folder, self.python)
        job.start()
        self.follow(job, self.volumeNode)

    def follow(self, job: JobProcess, inputNode: slicer.vtkMRMLScalarVolumeNode | None = None) -> None:
        """Make a newly started job of any kind the running task.

        Args:
            job: the job; its results are imported when it finishes.
            inputNode: the job's input volume, if any; the job is stopped when that changes its shape.

        Raises:
            ConfigError: another job is already running; the new one is stopped.
        """
        try:
            self.requireNoTask()
        except ConfigError:
            job.close()
            raise
        self.take(Task(self.scene, job, inputNode, self._files))

    def take(self, task: Task | Series) -> None:
        """Make a task the running one; its job has just been started, or its series has begun.

        The caller has seen that no job is running; see `requireNoTask`.
        """
        self.task = task
        self._report(task.message)

    def requireNoTask(self) -> None:
        """Raise a ConfigError if a job is running."""
        if self.task is not None:
            raise ConfigError(sentence("study.running", job=self.task.noun))

    def poll(self) -> bool:
        """Process the job's events since the last call; return whether anything changed."""
        task = self.task
        if task is None:
            return False
        hasChanged, before = False, task.results
        try:
            hasChanged = task.poll()
        finally:
            hasMade = task.results is not before
            if hasMade or (task.isOver and task.results is None):
                self.made = task.results
            if task.isOver:
                self.task = None
                # Results of a volume that is no longer shown stay in the scene only, as those of other sections do.
                isShown = task.inputNode is self.volumeNode
                if self.made is not None and isShown and not self.made.kind.hasOwnSection:
                    self.results = self.made
            if hasChanged or task.isOver:
                self._report(task.message, task.failed, *(("results",) if task.isOver or hasMade else ()))
        return hasChanged

    def cancel(self) -> None:
        """Request the end of the running job; `poll` reports it."""
        if self.task is not None:
            self.task.cancel()
            self._report(self.task.message)

    def stop(self, reason: str) -> None:
        """End the job, if any, without its results, and show `reason` as a failure."""
        # Emit once: a caller that waits for the job reads the first message afterwards as its outcome.
        self._dropTask()
        self._report(reason, True, "results")

    def _stopAtOnce(self) -> None:
        if self._dropTask():
            self._report("", False, "results")

    def _dropTask(self) -> bool:
        """Drop the running task; return whether there was one."""
        task, self.task = self.task, None
        if task is not None:
            task.stop()
            self.made = None
        return task is not None

    def _taskOf(self, node: slicer.vtkMRMLNode | None) -> Task | None:
        """The running task, if its input is this volume."""
        return self.task if self.task is not None and self.task.inputNode is node is not None else None

    # The scene

    def _onVolumeChanged(self) -> None:
        stopped = self._taskOf(self.volumeNode)
        super()._onVolumeChanged()
        if stopped is not None:
            self.stop(sentence("study.volume-changed", job=stopped.noun))

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
            self.change(region=Nothing(sentence("study.region-deleted")))
        if stopped is not None:
            self.stop(sentence("study.volume-deleted", job=stopped.noun))

    def _forgetResult(self, node: slicer.vtkMRMLNode) -> None:
        """Drop references to incomplete results; otherwise their volumes would stay in memory."""
        if self.made is not None and node in self.made.nodes:
            self.made = None
        if self.results is not None and node in self.results.nodes:
            self.results = None
        kind = kindOf(node)
        if kind is None or self.volumeNode is None or inputOf(node) is not self.volumeNode:
            return
        if self.isRunning or kind.role(roleOf(node)).isOptional:
            self._notify("results")
        else:
            deleted = sentence("study.result-deleted", node=node.GetName(), job=kind.name)
            self._report(deleted, False, "results")

    def _onSceneClosing(self, _caller: object, _event: str) -> None:
        self._stopAtOnce()
        self._files.forget()
        self.made = None
        self.apply(StudyChoices(model=self._usedModel, strategy=self.choices.strategy))

    def close(self) -> None:
        """End the job, remove the overlays and stop observing the scene; results stay."""
        self._stopAtOnce()
        self._files.forget()
        self._observations.clear()
        super().close()
