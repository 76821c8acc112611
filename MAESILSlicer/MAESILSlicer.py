"""The module MAESIL for 3D Slicer. MAESILSlicerLib holds the code and is imported on first use."""

from __future__ import annotations

import logging
import tempfile
import time
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

if TYPE_CHECKING:
    from collections.abc import Callable

    import qt

    from MAESILCore.jobs.runs import RunSummary
    from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode


class MAESILSlicer(ScriptedLoadableModule):
    """The module's entry in Slicer's lists and menus."""

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
        slicer.app.connect("startupCompleted()", registerSample)
        slicer.app.connect("startupCompleted()", watchLayout)


def registerSample() -> None:
    """Register MAESIL's sample in the module Sample Data; the library is imported when the sample is loaded."""
    import SampleData

    name, fileName = "Torso phantom", "MAESIL-torso-phantom-1.nrrd"
    sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory("MAESIL")
    if any(source.sampleName == name for source in sources):
        return
    manager = slicer.mrmlScene.GetCacheManager()
    folder = Path(manager.GetRemoteCacheDirectory() or slicer.app.temporaryPath)
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="MAESIL",
        sampleName=name,
        # The cached file for scripts that download by name; the button in Sample Data generates it.
        uris=(folder / fileName).absolute().as_uri(),
        fileNames=fileName,
        nodeNames=name,
        customDownloader=_loadSample,
        thumbnailFileName=str(Path(__file__).with_name("Resources") / "Icons" / "TorsoPhantom.png"),
    )


def _loadSample(_source: object) -> list[slicer.vtkMRMLScalarVolumeNode]:
    from MAESILSlicerLib.scene.samples import loadIntoViews

    return [loadIntoViews(slicer.mrmlScene)]


def watchLayout() -> None:
    """Restore the comparison's layout of loaded scenes, even before the module is opened."""
    slicer.mrmlScene.AddObserver(slicer.mrmlScene.EndImportEvent, _registerLayout)
    _registerLayout()


def _registerLayout(*_event: object) -> None:
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is None or node.IsLayoutDescription(node.GetViewArrangement()):
        return
    # Slicer does not know this layout, which may be the comparison.
    from MAESILSlicerLib.results.comparison import Comparison

    Comparison(slicer.mrmlScene).registerLayout(node)


class MAESILSlicerWidget(ScriptedLoadableModuleWidget):
    """Opens and closes the module's window."""

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = self.window = self._scene = None
        self._isEntered = False

    def setup(self) -> None:
        """Create the window; called when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        from MAESILSlicerLib.desktop.scenefollower import SceneFollower
        from MAESILSlicerLib.desktop.window import Window

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MAESILSlicer.ui"))
        # Without the stretch, the section of the developer mode takes half the height.
        self.layout.addWidget(uiWidget, 1)
        # The panels add their widgets.
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.logic = MAESILSlicerLogic()
        self.window = Window(self.ui, self.logic.study)
        self._scene = SceneFollower(self.window)

    def enter(self) -> None:
        """Called each time the module is opened."""
        self._isEntered = True
        self._scene.enter()

    def exit(self) -> None:
        """Called each time another module is opened; restores the user's layout, while a job continues."""
        self._isEntered = False
        self._scene.leave()

    def cleanup(self) -> None:
        """Called when the application closes and before a reload; the window may not exist."""
        for part in (self._scene, self.window, self.logic):
            if part is not None:
                part.close()

    def onReload(self) -> None:
        """Reload the library before Slicer reloads this file."""
        from MAESILSlicerLib.desktop.reload import reloadLibrary

        reloadLibrary()
        ScriptedLoadableModuleWidget.onReload(self)
        # Slicer only sets up the new widget, because it considers the module already open.
        if self._isEntered:
            slicer.modules.MAESILSlicerWidget.enter()


class MAESILSlicerLogic(ScriptedLoadableModuleLogic):
    """Masks, reconstructions, features, segmentations and pre-trainings for scripts, without a window.

    `showMask`, `reconstruct`, `computeFeatures`, `showSimilarity`, `learnSegmentation`, `segment`, `cancel`,
    `startPretraining` and `runs` are methods of `MAESILSlicerLib.desktop.study.Study`; see their `help`. `board` stops,
    resumes and deletes runs.

    Example:
        logic = slicer.util.getModuleLogic("MAESILSlicer")
        results = logic.reconstruct(slicer.util.getNode("CTChest"), coverage=4, waitForCompletion=True)
        slicer.util.arrayFromVolume(results.error)
        run = logic.startPretraining("/data/scans", preset="tiny", steps=1000)
        [(one.name, one.state, one.step, one.loss) for one in logic.runs()]
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        from MAESILSlicerLib.desktop.study import Study

        self.study = Study(self.getParameterNode)
        self.session = self.study.session
        self.showMask, self.reconstruct = self.study.showMask, self.study.reconstruct
        self.computeFeatures, self.showSimilarity = self.study.computeFeatures, self.study.showSimilarity
        self.learnSegmentation, self.segment = self.study.learnSegmentation, self.study.segment
        self.startPretraining, self.runs = self.study.startPretraining, self.study.runs
        self.board = self.study.board
        self.cancel, self.close = self.study.cancel, self.study.close

    def getParameterNode(self) -> MAESILSlicerParameterNode:
        """The scene's parameter node, created with defaults if missing."""
        from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode

        return MAESILSlicerParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))


class MAESILSlicerTest(ScriptedLoadableModuleTest):
    """End-to-end test in Slicer: sample, masks, reconstruction, results, pre-training."""

    def setUp(self) -> None:
        """Clear the scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.testSampleToResults()
        self.testPretraining()

    def testSampleToResults(self) -> None:
        """Load the sample, change the mask, reconstruct and check the results."""
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

    def testPretraining(self) -> None:
        """Start a small run on a phantom in the background, watch it, stop it, resume it to its end and delete it."""
        from MAESILCore.data.volume import write_volume
        from MAESILCore.phantom import make_phantom
        from MAESILSlicerLib.system import requirements

        lacking = requirements.unmetForTraining()
        if lacking:
            logging.warning("Pre-training was not tested: %s is not installed", lacking[0].name)
            return
        logic = slicer.util.getModuleLogic("MAESILSlicer")
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            scan, root = Path(folder) / "phantom.nii.gz", Path(folder) / "runs"
            write_volume(make_phantom((24, 32, 32)).volume, scan)
            self.delayDisplay("Pre-training")
            run = logic.startPretraining(
                scan,
                name="Test",
                preset="tiny",
                steps=100_000,
                device="cpu",
                folder=root,
                overrides={
                    "model": {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]},
                    "crop": {"size": [16, 16, 16], "swap_probability": 0.0},
                },
            )
            self.waitForRun(logic, root, lambda summary: summary.step >= 2)
            assert logic.runs(root)[0].loss > 0
            logic.board.stop(run)
            stopped = self.waitForRun(logic, root, lambda summary: summary.state != "running")
            assert stopped.state == "cancelled", stopped.message
            logic.board.resume(run, steps=stopped.step + 2)
            finished = self.waitForRun(logic, root, lambda summary: summary.state != "running")
            assert (finished.state, finished.step) == ("finished", stopped.step + 2), finished.message
            assert logic.board.modelOf(run).name == "model.safetensors"
            logic.board.delete(run)
            assert logic.runs(root) == []
        self.delayDisplay("The test has passed")

    @staticmethod
    def waitForRun(
        logic: MAESILSlicerLogic, root: Path, isReached: Callable[[RunSummary], bool], seconds: float = 180.0
    ) -> RunSummary:
        """Wait for a state of the only run in a folder, while the application stays responsive."""
        end = time.monotonic() + seconds
        while True:
            (summary,) = logic.runs(root)
            if summary.state not in ("prepared",) and isReached(summary):
                return summary
            assert time.monotonic() < end, f"{summary.state} at step {summary.step}: {summary.message}"
            slicer.app.processEvents()
            time.sleep(0.1)
