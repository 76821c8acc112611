"""The session, its parameter node and its commands, shared by the window and scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer

from MAESILCore.lattice import Mask
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.follower import ParameterFollower
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.running import ProgressCallback, RunningJob
from MAESILSlicerLib.desktop.scripting import choose, write
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.session.applying import startSegmentation
from MAESILSlicerLib.session.board import Board
from MAESILSlicerLib.session.choices import ReconstructionChoices
from MAESILSlicerLib.session.features import similarityTo
from MAESILSlicerLib.session.segmenting import casesOf, learn
from MAESILSlicerLib.session.session import Session

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import RunSummary

POLL_INTERVAL_MS = 100


class Study:
    """The desktop's session and its commands.

    Args:
        parameterNode: returns the scene's parameter node.

    Attributes:
        session: the session of the chosen volume.
        follower: applies a parameter node to the session.
        board: the runs in the folder of runs.
    """

    def __init__(self, parameterNode: Callable[[], MAESILSlicerParameterNode]) -> None:
        self.parameterNode = parameterNode
        self.session = Session(slicer.mrmlScene, Path(slicer.app.temporaryPath) / "MAESIL")
        self.follower = ParameterFollower(self.session)
        self.board = Board()
        # Polls the running job.
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self.session.poll)
        self.session.changed.connect(self._onJob, "job")

    def showMask(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        mode: str = "nested",
        model: str | None = None,
        **choices: Any,  # noqa: ANN401 - as the parameter node has them
    ) -> Mask:
        """Show the superpatches and the mask of a volume.

        Args:
            volumeNode: a CT.
            mode: nested, random, block, plane, axis, product, roi or segment.
            model: a checkpoint's path or a bundled model's name; None is the default.
            choices: the choices below; an omitted one gets its default.
            ratio: hidden share of random, block, plane and axis, 0.05 to 0.95; 0.75 by default.
            planeRatio: hidden share of the first stage of nested and product, 0 to 0.95; 0.5 by default.
            axisRatio: hidden share of the second stage of nested and product; 0.5 by default.
            blockSize: edge of a block in patches, 1 to 8; 2 by default.
            planeAxis: the axis along which planes are stacked, k, j or i; k by default.
            seed: the mask's seed; 0 by default.
            roi: the vtkMRMLMarkupsROINode to hide in mode roi.
            segmentation: the vtkMRMLSegmentationNode of mode segment.
            segmentId: the segment to hide in mode segment.

        Raises:
            TypeError: the name of a choice is unknown.
            MaesilError: the volume or a choice cannot be used; the message gives the reason.
        """
        parameters = self.parameterNode()
        choose(parameters, inputVolume=volumeNode, mode=mode, model=model or "", **choices)
        self.follower.follow(parameters)
        return self.follower.appliedMask()

    def reconstruct(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        coverage: int = 4,
        device: str = "auto",
        batchSize: int | None = None,
        overlap: int | None = None,
        window: tuple[float, float] | None = None,
        scores: bool = True,
        export: bool = False,
        waitForCompletion: bool = False,
        onProgress: ProgressCallback | None = None,
        **mask: Any,  # noqa: ANN401 - those of showMask
    ) -> ResultSet | RunningJob:
        """Hide parts of a volume, reconstruct them and add the results beside the volume.

        Args:
            volumeNode: a CT.
            coverage: number of masks that together hide every patch; 0 for a single mask, as always for roi and
                segment.
            device: auto, cpu, cuda, cuda:N or mps.
            batchSize: superpatches per forward pass; None chooses by the device.
            overlap: voxels shared by neighbouring superpatches; None is `usual_overlap`.
            window: HU in which the model predicts, such as (-175, 250); None is the model's own.
            scores: whether to compute PSNR, SSIM and other scores.
            export: whether to write files and a report to `session.exportFolder` as well. Copy them from there: they
                are deleted with the volume or the scene, and when the next reconstruction ends.
            waitForCompletion: whether to block until the end.
            onProgress: called with the fraction done, 0 to 1, and a sentence.
            mask: the mask, as in `showMask`.

        Returns:
            The results; without `waitForCompletion`, a running job that can be awaited or cancelled.

        Raises:
            Cancelled: the reconstruction was cancelled while waiting.
            MaesilError: the reconstruction cannot be started or has failed; the message gives the reason.
        """
        self.session.requireNoTask()
        self.showMask(volumeNode, **mask)
        isRegion = self.parameterNode().mode.isRegion
        self.session.startReconstruction(
            ReconstructionChoices(
                coverage=0 if isRegion else coverage,
                device=device,
                batchSize=batchSize,
                overlap=overlap,
                window=window,
                scores=scores,
                export=export,
            )
        )
        running = RunningJob(self.session, onProgress)
        return running.wait() if waitForCompletion else running

    def computeFeatures(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        model: str | None = None,
        level: int = -1,
        device: str = "auto",
        batchSize: int | None = None,
        waitForCompletion: bool = False,
        onProgress: ProgressCallback | None = None,
    ) -> ResultSet | RunningJob:
        """Compute the feature vectors of a volume and add them and their colours beside the volume.

        Args:
            volumeNode: a CT.
            model: a checkpoint's path or a bundled model's name, also of a model without voxels; None is the model
                that the module reconstructs with.
            level: index of the model's feature level; negative ones count from the deepest.
            device: auto, cpu, cuda, cuda:N or mps.
            batchSize: superpatches per forward pass; None chooses by the device.
            waitForCompletion: whether to block until the end.
            onProgress: called with the fraction done, 0 to 1, and a sentence.

        Returns:
            The results: `vectors`, one vector per box of voxels, and `colours`, their first three principal components.
            Without `waitForCompletion`, a running job that can be awaited or cancelled.

        Raises:
            Cancelled: the job was cancelled while waiting.
            MaesilError: the job cannot be started or has failed; the message gives the reason.
        """
        self.session.requireNoTask()
        parameters = self.parameterNode()
        write(parameters, "inputVolume", volumeNode)
        self.follower.follow(parameters)
        self.session.startFeatures(model, level, device, batchSize)
        running = RunningJob(self.session, onProgress)
        return running.wait() if waitForCompletion else running

    def showSimilarity(
        self, features: ResultSet, point: tuple[float, float, float]
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """Add a volume that says where features agree with those at a point, from 0 to 1, beside the features.

        Args:
            features: the results of `computeFeatures`.
            point: RAS of the scene, in mm.

        Raises:
            MaesilError: these are no features, or the point lies outside them.
        """
        return similarityTo(features, point)

    def learnSegmentation(
        self,
        volumeNodes: Sequence[slicer.vtkMRMLScalarVolumeNode] | None = None,
        *,
        name: str = "segmentation",
        encoder: str | Path | None = None,
        steps: int | None = None,
        device: str = "auto",
        initial: str | Path | None = None,
        folder: str | Path | None = None,
    ) -> Path:
        """Start a run in the background that learns the segments that were outlined on volumes.

        `runs` lists it; `board.stop`, `board.resume` and others take the returned folder, and so does `segment`.

        Args:
            volumeNodes: volumes with segmentations, corrected ones of a model included; None takes all with a
                segmentation made by hand.
            name: name of the run and of its model.
            encoder: checkpoint, run folder or bundled name of the pre-trained model to start from; None is none.
            steps: most optimiser steps; None is the default.
            device: auto, cpu, cuda, cuda:N or mps.
            initial: run folder or checkpoint of an earlier run of this kind to go on from.
            folder: the folder of runs; None is the one that the section "Pre-train" shows.

        Returns:
            The folder of the run, into which volumes and labels are copied.

        Raises:
            MaesilError: no volume has a segmentation, a choice is invalid, or the run cannot be started.
        """
        self._openRuns(folder)
        cases = [
            case
            for case in casesOf(self.session.scene)
            if (case.isByHand if volumeNodes is None else case.volumeNode in volumeNodes)
        ]
        return learn(
            self.board, cases, name=name, encoder=encoder, steps=steps, device=device, initial=initial
        )

    def segment(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        model: str | Path,
        *,
        device: str = "auto",
        batchSize: int | None = None,
        waitForCompletion: bool = False,
        onProgress: ProgressCallback | None = None,
    ) -> ResultSet | RunningJob:
        """Outline the structures of a learned model in a volume, and add the segmentation beside the volume.

        Args:
            volumeNode: the volume.
            model: folder of a run of `learnSegmentation`, or its checkpoint.
            device: auto, cpu, cuda, cuda:N or mps.
            batchSize: tiles per forward pass; None chooses by the device.
            waitForCompletion: whether to block until the end.
            onProgress: called with the fraction done, 0 to 1, and a sentence.

        Returns:
            The results: `segmentation`, and `uncertainty` from 0 to 1. Without `waitForCompletion`, a running job that
            can be awaited or cancelled.

        Raises:
            Cancelled: the job was cancelled while waiting.
            MaesilError: the job cannot be started or has failed; the message gives the reason.
        """
        startSegmentation(self.session, volumeNode, model, device, batchSize)
        running = RunningJob(self.session, onProgress)
        return running.wait() if waitForCompletion else running

    def startPretraining(
        self,
        scans: str | Path | Sequence[str | Path],
        *,
        name: str = "",
        method: str = "maesil",
        preset: str | None = "small",
        steps: int | None = None,
        device: str = "auto",
        overrides: Mapping[str, Any] | None = None,
        initial: str | Path | None = None,
        folder: str | Path | None = None,
    ) -> Path:
        """Start a pre-training in the background, which goes on when 3D Slicer is closed.

        `runs` lists it; `board.stop`, `board.resume` and others take the returned folder.

        Args:
            scans: a folder of scans, a store made by `maesil prepare`, or several scans and folders.
            name: name of the run; "" is made of method and preset.
            method: a name in `MAESILCore.methods.METHODS`.
            preset: named size of the method; None for a method without presets.
            steps: number of optimiser steps; None is that of the method's recipe.
            device: auto, cpu, cuda, cuda:N or mps.
            overrides: further fields of the recipe, such as {"batch_size": 4}; see
                `MAESILCore.training.PretrainConfig`.
            initial: checkpoint, run folder or bundled name of the initial weights.
            folder: the folder of runs; None is the one that the section "Pre-train" shows.

        Returns:
            The folder of the run.

        Raises:
            MaesilError: a scan is missing, a choice is invalid, or the run cannot be started.
        """
        self._openRuns(folder)
        return self.board.start(
            [scans] if isinstance(scans, (str, Path)) else scans,
            name=name,
            method=method,
            preset=preset,
            steps=steps,
            device=device,
            overrides=overrides,
            initial=initial,
        )

    def runs(self, folder: str | Path | None = None) -> list[RunSummary]:
        """The runs in a folder, newest first; None is the folder that the section "Pre-train" shows."""
        self._openRuns(folder)
        return self.board.refresh()

    def _openRuns(self, folder: str | Path | None) -> None:
        root = settings.runsFolder() if folder is None else Path(folder).expanduser()
        if self.board.root != root:
            self.board.open(root)

    def cancel(self) -> None:
        """Request the end of the running reconstruction; its results are discarded."""
        self.session.cancel()

    def close(self) -> None:
        """End a running job and remove the overlays; runs go on."""
        self.follower.close()
        self.session.changed.disconnect(self._onJob)
        self._timer.stop()
        self._timer.disconnect("timeout()", self.session.poll)
        self.session.close()
        self.board.close()

    def _onJob(self, _topics: frozenset[str]) -> None:
        if not self.session.isRunning:
            self._timer.stop()
        elif not self._timer.active:
            self._timer.start()
