"""What the window and scripts share: the session, kept in line with the parameter node, and its commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask
from MAESILSlicerLib.desktop.follower import ParameterFollower
from MAESILSlicerLib.desktop.jobtimer import JobTimer
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.running import ProgressCallback, RunningReconstruction
from MAESILSlicerLib.desktop.scripting import choose
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.session.choices import ReconstructionChoices
from MAESILSlicerLib.session.session import Session


class Study:
    """One session of the desktop and what follows it.

    Args:
        parameterNode: gives the scene's parameter node.

    Attributes:
        session: the work on the chosen volume.
        follower: keeps it in line with a parameter node.
    """

    def __init__(self, parameterNode: Callable[[], MAESILSlicerParameterNode]) -> None:
        self.parameterNode = parameterNode
        self.session = Session(slicer.mrmlScene, Path(slicer.app.temporaryPath) / "MAESIL")
        self.follower = ParameterFollower(self.session)
        self._timer = JobTimer(self.session)

    def showMask(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        mode: str = "nested",
        model: str | None = None,
        **choices: Any,  # noqa: ANN401 - as the parameter node has them
    ) -> Mask:
        """Show superpatches and mask of a volume.

        Args:
            volumeNode: a CT.
            mode: nested, random, block, plane, axis, product, roi or segment.
            model: a checkpoint's path or a bundled model's name; None is the default.
            choices: those below; one that is left out takes its default.
            ratio: hidden share of random, block, plane and axis, 0.05 to 0.95; 0.75 by default.
            planeRatio: hidden share of the first stage of nested and product, 0 to 0.95; 0.5 by default.
            axisRatio: hidden share of their second stage; 0.5 by default.
            blockSize: patches of a block's edge, 1 to 8; 2 by default.
            planeAxis: the axis along which planes are stacked, k, j or i; k by default.
            seed: of the mask; 0 by default.
            roi: the vtkMRMLMarkupsROINode that is hidden in mode roi.
            segmentation: the vtkMRMLSegmentationNode that is hidden in mode segment, with `segmentId`.
            segmentId: of the segmentation.

        Raises:
            TypeError: a choice has another name.
            MaesilError: the volume or a choice cannot be used; the message says why.
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
        scores: bool = True,
        export: bool = False,
        waitForCompletion: bool = False,
        onProgress: ProgressCallback | None = None,
        **mask: Any,  # noqa: ANN401 - those of showMask
    ) -> ResultSet | RunningReconstruction:
        """Hide parts of a volume, let the model fill them in, and put the results beside the volume.

        Args:
            volumeNode: a CT.
            coverage: masks that together hide every patch; 0 for a single mask, as always for roi and segment.
            device: auto, cpu, cuda, cuda:N or mps.
            batchSize: superpatches a pass; None leaves it to the device.
            overlap: voxels that neighbouring superpatches share; None is an eighth of a superpatch.
            scores: whether PSNR, SSIM and the like are measured.
            export: whether files and a report are written too, to `session.exportFolder`; copy them from there, since
                they are deleted with the volume, the scene, and when the next reconstruction has ended.
            waitForCompletion: whether to return only when it has ended.
            onProgress: called with the share that is done, 0 to 1, and a sentence.
            mask: what is hidden, as in `showMask`.

        Returns:
            The nodes of the results; without `waitForCompletion` a job to be waited for or cancelled.

        Raises:
            Cancelled: it was cancelled while it was waited for.
            MaesilError: it cannot be started or has failed; the message says why.
        """
        if self.session.isRunning:
            raise ConfigError(_("A reconstruction is running already; wait for it, or cancel it."))
        self.showMask(volumeNode, **mask)
        isRegion = self.parameterNode().mode.isRegion
        self.session.startReconstruction(
            ReconstructionChoices(
                coverage=0 if isRegion else coverage,
                device=device,
                batchSize=batchSize,
                overlap=overlap,
                scores=scores,
                export=export,
            )
        )
        running = RunningReconstruction(self.session, onProgress)
        return running.wait() if waitForCompletion else running

    def cancel(self) -> None:
        """Ask the running reconstruction to end; nothing of it is kept."""
        self.session.cancel()

    def close(self) -> None:
        """End a running job and take the overlays out of the scene."""
        self.follower.close()
        self._timer.close()
        self.session.close()
