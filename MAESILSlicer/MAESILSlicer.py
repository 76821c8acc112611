"""The module MAESIL as 3D Slicer loads it; MAESILSlicerLib does the work and is imported when it is first opened."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    import qt

    from MAESILCore.lattice import Mask
    from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
    from MAESILSlicerLib.desktop.running import ProgressCallback, RunningReconstruction
    from MAESILSlicerLib.desktop.window import Window
    from MAESILSlicerLib.results.reconstruction import ResultNodes


class MAESILSlicer(ScriptedLoadableModule):
    """What Slicer's lists and menus say about the module."""

    def __init__(self, parent: Any) -> None:  # noqa: ANN401 - a qSlicerScriptedLoadableModule, which Python cannot import
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MAESIL")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Machine Learning")]
        parent.dependencies = []
        parent.contributors = ["MAESIL contributors"]
        parent.helpText = _(
            "Hides parts of a CT, lets a neural network fill them in from their surroundings, and shows where the "
            'network and the patient disagree. See the <a href="{address}">tutorial</a>. '
            "For research only; not a medical device."
        ).format(address="https://github.com/SlicerMAESIL/SlicerMAESIL#readme")
        parent.acknowledgementText = _("The bundled model was trained on public CT; its card names the data.")
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", registerLayout)


def registerSampleData() -> None:
    """Offer MAESIL's samples in the module Sample Data."""
    from MAESILSlicerLib.scene import samples

    samples.registerSamples()


def registerLayout() -> None:
    """Let scenes that were saved while comparing show their views, also before the module was opened."""
    from MAESILSlicerLib.desktop.views import layoutNode
    from MAESILSlicerLib.results.comparison import Comparison

    node = layoutNode()
    if node is not None:
        Comparison(slicer.mrmlScene).registerLayout(node)


class MAESILSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Opens and closes the window with the module and the scene."""

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MAESILSlicerLogic | None = None
        self.window: Window | None = None
        self._isEntered = False
        self._parameters: MAESILSlicerParameterNode | None = None
        self._guiTag: int | None = None

    def setup(self) -> None:
        """Build the window; called when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        from MAESILSlicerLib.desktop.window import Window

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MAESILSlicer.ui"))
        # Without the stretch, the section of the developer mode takes half of the height.
        self.layout.addWidget(uiWidget, 1)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MAESILSlicerLogic()
        self.window = Window(self.ui, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self._onSceneStartImport)
        # A scene that is loaded is closed and filled in one batch, in which neither selectors nor views follow it. They
        # hear of its end by the same event, but first.
        self.addObserver(
            slicer.mrmlScene, slicer.mrmlScene.EndBatchProcessEvent, self._onSceneEndBatch, priority=-1.0
        )

    def enter(self) -> None:
        """Called each time the module is opened."""
        self._isEntered = True
        self._useParameterNode()
        self.window.enter()

    def exit(self) -> None:
        """Called each time another module is opened: the user's own layout comes back, a job goes on."""
        self._isEntered = False
        self.window.leave()
        self._setParameters(None)

    def cleanup(self) -> None:
        """Called when the application is closed and before a reload."""
        self.removeObservers()
        # Nothing to undo where the window could not even be built.
        if self.window is not None:
            # While the parameters are there: what the comparison changed in them is put back.
            self.window.leave()
            self._setParameters(None)
            self.window.close()
        if self.logic is not None:
            self.logic.close()

    def onReload(self) -> None:
        """Reload the library before Slicer reloads this file."""
        from MAESILSlicerLib.desktop.reload import reloadLibrary

        reloadLibrary()
        ScriptedLoadableModuleWidget.onReload(self)
        # Slicer sets the new widget up and no more: for Slicer the module is open already.
        if self._isEntered:
            slicer.modules.MAESILSlicerWidget.enter()

    def _onSceneStartClose(self, _caller: object, _event: str) -> None:
        self._setParameters(None)
        self.logic.follow(None)

    def _onSceneStartImport(self, _caller: object, _event: str) -> None:
        self._setParameters(None)

    def _onSceneEndBatch(self, _caller: object, _event: str) -> None:
        if self._isEntered and self._parameters is None:
            from MAESILSlicerLib.desktop.views import catchUp

            self._useParameterNode()
            catchUp()

    def _useParameterNode(self) -> None:
        """Work on the scene's parameter node; the first volume is chosen to save a click."""
        parameters = self.logic.getParameterNode()
        if parameters.inputVolume is None:
            from MAESILSlicerLib.scene.nodes import nodesOfClass

            volumes = nodesOfClass(slicer.mrmlScene, "vtkMRMLScalarVolumeNode")
            parameters.inputVolume = next((node for node in volumes if not node.GetHideFromEditors()), None)
        self._setParameters(parameters)
        self.logic.follow(parameters)

    def _setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
        self._parameters = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
        self.window.setParameters(parameters)


class MAESILSlicerLogic(ScriptedLoadableModuleLogic):
    """Masks and reconstructions for scripts; needs no window.

    Example:
        logic = slicer.util.getModuleLogic("MAESILSlicer")
        results = logic.reconstruct(slicer.util.getNode("CTChest"), coverage=4, waitForCompletion=True)
        slicer.util.arrayFromVolume(results.error)
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        from MAESILSlicerLib.desktop.follower import ParameterFollower
        from MAESILSlicerLib.desktop.jobtimer import JobTimer
        from MAESILSlicerLib.session.session import Session

        self.session = Session(slicer.mrmlScene, Path(slicer.app.temporaryPath) / "MAESIL")
        self.follower = ParameterFollower(self.session)
        self._timer = JobTimer(self.session)

    def getParameterNode(self) -> MAESILSlicerParameterNode:
        """The scene's choices, typed; made with their defaults if there are none yet."""
        from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode

        return MAESILSlicerParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))

    def follow(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Keep the session in line with a parameter node."""
        self.follower.follow(parameters)

    def showMask(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        mode: str = "nested",
        ratio: float = 0.75,
        planeRatio: float = 0.5,
        axisRatio: float = 0.5,
        blockSize: int = 2,
        seed: int = 0,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        segmentation: slicer.vtkMRMLSegmentationNode | None = None,
        segmentId: str = "",
        model: str | None = None,
    ) -> Mask:
        """Show superpatches and mask of a volume.

        Args:
            volumeNode: a CT.
            mode: nested, random, block, plane, axis, product, roi or segment.
            ratio: hidden share of random, block, plane and axis, 0.05 to 0.95.
            planeRatio: hidden share of the first stage of nested and product, 0 to 0.95.
            axisRatio: hidden share of their second stage.
            blockSize: patches of a block's edge, 1 to 8.
            seed: of the mask.
            roi: what is hidden in mode roi.
            segmentation: what is hidden in mode segment, with `segmentId`.
            segmentId: of the segmentation.
            model: a checkpoint's path or a bundled model's name; None is the default.

        Raises:
            MaesilError: the volume or a choice cannot be used; the message says why.
        """
        from MAESILSlicerLib.desktop.scripting import choose

        choose(
            self.getParameterNode(),
            inputVolume=volumeNode,
            mode=mode,
            ratio=ratio,
            planeRatio=planeRatio,
            axisRatio=axisRatio,
            blockSize=blockSize,
            seed=seed,
            roi=roi,
            segmentation=segmentation,
            segmentId=segmentId,
            model=model or "",
        )
        self.follow(self.getParameterNode())
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
    ) -> ResultNodes | RunningReconstruction:
        """Hide parts of a volume, let the model fill them in, and put the results beside the volume.

        Args:
            volumeNode: a CT.
            coverage: masks that together hide every patch; 0 for a single mask, as always for roi and segment.
            device: auto, cpu, cuda, cuda:N or mps.
            batchSize: superpatches a pass; None leaves it to the device.
            overlap: voxels that neighbouring superpatches share; None is a quarter of a superpatch.
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
        from MAESILCore.errors import ConfigError
        from MAESILSlicerLib.desktop.running import RunningReconstruction
        from MAESILSlicerLib.session.choices import ReconstructionChoices

        if self.session.isRunning:
            raise ConfigError(_("A reconstruction is running already; wait for it, or cancel it."))
        self.showMask(volumeNode, **mask)
        isRegion = self.getParameterNode().mode.isRegion
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


class MAESILSlicerTest(ScriptedLoadableModuleTest):
    """The whole path in the real application: sample, masks, reconstruction, results."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all of it."""
        self.setUp()
        self.testSampleToResults()

    def testSampleToResults(self) -> None:
        """Load the sample, move the mask, reconstruct and look at what came."""
        from MAESILSlicerLib.scene.samples import loadSample
        from MAESILSlicerLib.system.check import SystemCheck

        logic = slicer.util.getModuleLogic("MAESILSlicer")
        self.delayDisplay("Loading the sample")
        volumeNode = loadSample(slicer.mrmlScene)
        shares = [logic.showMask(volumeNode, planeRatio=share).hidden_fraction for share in (0.25, 0.5, 0.75)]
        assert shares == sorted(shares)
        assert logic.session.overlays.maskNode is not None

        report = SystemCheck().wait()
        if not report.canCompute:
            logging.warning("Reconstruction was not tested: %s", report.line)
            return
        self.delayDisplay("Reconstructing")
        results = logic.reconstruct(volumeNode, coverage=0, waitForCompletion=True)
        sizes = [node.GetImageData().GetDimensions() for node in (volumeNode, results.reconstruction)]
        assert sizes[0] == sizes[1]
        assert results.superpatches.GetNumberOfRows() > 0
        self.delayDisplay("The test has passed")
