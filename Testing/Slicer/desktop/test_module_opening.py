"""Opening the module: at once, also before PyTorch is there, with a sample or a real CT, to its own test of itself."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slicer

from hosting import MODULE, Host
from modulehelp import FACTS, FACTS_WITHOUT_TORCH, OpenModule, answerAtOnce

#: What reconstructions need and Slicer does not bring.
NOT_IN_SLICER = (
    "torch",
    "pydantic",
    "safetensors",
    "nibabel",
    "psutil",
    "typer",
    "rich",
    "lightning_fabric",
)


def pretendToLack(host: Host, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...]) -> None:
    """Have `import` fail for some packages, also in MAESIL's modules, which are imported anew."""
    host.importAnew()
    for name in list(sys.modules):
        if name.split(".")[0] in packages:
            monkeypatch.delitem(sys.modules, name)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)


def test_the_module_opens_at_once_without_pytorch_and_offers_to_install_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretendToLack(host, monkeypatch, NOT_IN_SLICER)
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    started = time.monotonic()
    host.open()
    assert time.monotonic() - started < 3.0
    assert "not installed" in host.ui.installLabel.text
    assert host.ui.repairButton.isVisibleTo(host.window)
    assert host.ui.repairButton.isEnabled()
    assert host.ui.systemLabel.text == "Not checked yet."
    host.ui.systemSection.collapsed = False
    host.wait(lambda: host.widget.window.system.report is not None)
    assert "PyTorch" in host.ui.systemLabel.text
    from volumes import addTestVolume

    host.ui.volumeSelector.setCurrentNode(addTestVolume(host.scene, (64, 64, 64)))
    host.process()
    assert host.ui.maskInfoLabel.text.startswith("75.0 % hidden")
    assert not host.ui.reconstructButton.isEnabled()
    assert host.ui.reconstructButton.toolTip == host.ui.installLabel.text


def test_nothing_of_maesil_is_imported_when_slicer_starts(host: Host) -> None:
    host.importAnew()
    host.app.loadModule(MODULE)
    host.app.startupCompleted.emit()
    loaded = {name.split(".")[0] for name in sys.modules}
    assert not loaded & {"MAESILCore", "MAESILSlicerLib"}


def test_opening_the_module_starts_no_process_and_imports_no_pytorch(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from volumes import addTestVolume

    started = []
    addTestVolume(host.scene)
    pretendToLack(host, monkeypatch, ("torch",))
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *arguments, **_: started.append(arguments))
    host.open()
    host.widget.exit()
    host.widget.enter()
    host.process()
    assert host.widget.logic.session.mask is not None
    assert started == []
    assert "torch" not in sys.modules
    assert host.ui.estimateLabel.text == "Open System check once to estimate the duration."


def test_sample_data_offers_the_sample(
    host: Host, smallSample: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import SampleData

    from MAESILSlicerLib.scene import samples

    host.app.loadModule(MODULE)
    for _ in range(2):
        host.app.startupCompleted.emit()
    (source,) = SampleData.SampleDataLogic.sampleDataSourcesByCategory("MAESIL")
    assert source.sampleName == source.nodeNames == samples.NAME
    # Written in two files, since the library is not imported for it.
    assert source.fileNames == "MAESIL-torso-phantom-1.nrrd"
    assert source.uris == (samples.cacheFolder(host.scene) / source.fileNames).as_uri()
    assert Path(source.thumbnailFileName).is_file()
    (node,) = source.customDownloader(source)
    assert slicer.util.arrayFromVolume(node).shape == smallSample


def test_the_computer_is_checked_once_its_section_is_opened(host: Host) -> None:
    host.open()
    assert host.ui.systemLabel.text == "Not checked yet."
    assert host.ui.deviceComboBox.count == 1
    host.ui.systemSection.collapsed = False
    host.process()
    assert host.ui.systemLabel.text == "Checking ..."
    host.wait(lambda: host.widget.window.system.report is not None, 120)
    torch = importlib.util.find_spec("torch")
    assert ("is ready" in host.ui.systemLabel.text) == (torch is not None)
    assert host.ui.deviceComboBox.count > 1


@pytest.fixture
def smallSample(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """The sample with fewer voxels than it has for people, (k, j, i)."""
    from MAESILSlicerLib.scene import samples

    monkeypatch.setattr(samples, "SHAPE", (24, 48, 40))
    monkeypatch.setattr(samples, "FILE_NAME", "MAESIL-small-phantom.nrrd")
    return samples.SHAPE


def test_the_sample_is_one_click_away(
    host: Host, smallSample: tuple[int, int, int], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    for name in ("Torso phantom", "Torso phantom_1"):  # Made, then read from where it was kept.
        host.click(module.ui.sampleButton)
        node = module.ui.volumeSelector.currentNode()
        assert node.GetName() == name
        assert slicer.util.arrayFromVolume(node).shape == smallSample
        assert module.ui.volumeInfoLabel.text.startswith("40 x 48 x 24 voxels")
        assert module.session.overlays.maskNode is not None
    assert host.scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed").GetBackgroundVolumeID()


def test_a_sample_that_cannot_be_made_says_why(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.scene import samples
    from MAESILSlicerLib.scene.volumes import SceneError

    def fail(_scene: object) -> None:
        raise SceneError("There is not enough memory.")

    answerAtOnce(monkeypatch, FACTS)
    monkeypatch.setattr(samples, "loadSample", fail)
    module = OpenModule(host, tiny_model)
    host.click(module.ui.sampleButton)
    assert module.status == "There is not enough memory."
    assert module.ui.statusIcon.accessibleName == "Warning"


def test_the_modules_own_test_passes(
    host: Host, smallSample: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    host.open()
    sys.modules["MAESILSlicer"].MAESILSlicerTest().runTest()
    host.process()
    results = host.widget.logic.session.results
    assert slicer.util.arrayFromVolume(results.reconstruction).shape == smallSample
    assert host.ui.compareButton.checked


def test_a_real_ct_is_cut_and_masked(host: Host, scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from MAESILCore.data.volume import read_volume
    from MAESILSlicerLib.scene.volumes import addVolume

    answerAtOnce(monkeypatch, FACTS)
    host.open()
    node = addVolume(host.scene, read_volume(scans / "test" / "TS_example_ct.nii.gz"), "Abdomen")
    host.ui.volumeSelector.setCurrentNode(node)
    host.process()
    session = host.widget.logic.session
    assert session.check.warnings == ()
    assert session.mask.hidden_fraction == pytest.approx(0.75, abs=0.02)
    assert session.overlays.maskNode is not None
