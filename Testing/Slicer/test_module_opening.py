"""Opening the module: at once, also before PyTorch is there, and with a way to install it."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import slicer

from hosting import Host
from modulehelp import FACTS, FACTS_WITHOUT_TORCH, OpenModule, answerAtOnce

#: What reconstructions need and Slicer does not bring.
NOT_IN_SLICER = (
    "torch",
    "pydantic",
    "safetensors",
    "nibabel",
    "skimage",
    "typer",
    "rich",
    "lightning_fabric",
)


def pretendToLack(monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...]) -> None:
    """Have `import` fail for some packages and for what is imported anew."""
    ours = ("MAESILCore", "MAESILSlicerLib")
    for name in list(sys.modules):
        if name.split(".")[0] in (*packages, *ours):
            monkeypatch.delitem(sys.modules, name)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)


def test_the_module_opens_at_once_without_pytorch_and_offers_to_install_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretendToLack(monkeypatch, NOT_IN_SLICER)
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    started = time.monotonic()
    host.open()
    assert time.monotonic() - started < 3.0
    assert "not installed" in host.ui.installLabel.text
    host.wait(lambda: host.widget.window._system.report is not None)
    assert host.ui.installButton.isVisibleTo(host.window)
    assert host.ui.installButton.isEnabled()
    assert "PyTorch" in host.ui.systemLabel.text
    from volumes import addTestVolume

    host.ui.volumeSelector.setCurrentNode(addTestVolume(host.scene, (64, 64, 64)))
    host.process()
    assert host.ui.maskInfoLabel.text.startswith("75.0 % hidden")
    assert not host.ui.reconstructButton.isEnabled()
    assert host.ui.reconstructButton.toolTip == host.ui.installLabel.text


def test_nothing_of_maesil_is_imported_when_slicer_starts(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretendToLack(monkeypatch, ())
    path = Path(__file__).resolve().parents[2] / "MAESILSlicer" / "MAESILSlicer.py"
    host.app.loadModule(path)
    loaded = {name.split(".")[0] for name in sys.modules}
    assert not loaded & {"MAESILCore", "MAESILSlicerLib"}


def test_the_computer_is_checked_in_the_background(host: Host) -> None:
    host.open()
    assert host.ui.systemLabel.text == "Checking ..."
    host.wait(lambda: host.widget.window._system.report is not None, 120)
    torch = importlib.util.find_spec("torch")
    assert ("is ready" in host.ui.systemLabel.text) == (torch is not None)
    assert host.ui.deviceComboBox.count > 1


class Installation:
    """Stands in for Slicer's ways to install, and for the check afterwards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, works: bool = True) -> None:
        from MAESILSlicerLib.system.check import SystemCheck, judge
        from MAESILSlicerLib.system.installers import Installers
        from MAESILSlicerLib.system.report import Application

        self.done: list[tuple[str, Any]] = []
        report = judge(FACTS, Application("5.12.3", True))
        monkeypatch.setattr(Application, "current", classmethod(lambda cls: cls("5.12.3", True)))
        monkeypatch.setattr(SystemCheck, "wait", lambda check: report)

        def installTorch(bounds: str) -> str:
            self.done.append(("torch", bounds))
            if not works:
                raise RuntimeError("[Errno 28] No space left on device")
            return bounds

        installers = Installers(
            ensure=lambda needs, constraints: self.done.append(("packages", needs)),
            pip=lambda arguments: self.done.append(("pip", arguments)),
            uninstall=lambda names: self.done.append(("uninstall", names)),
            installTorch=installTorch,
        )
        monkeypatch.setattr(Installers, "fromSlicer", classmethod(lambda cls: installers))


def agree(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    """Answer the question before the installation, and keep it."""
    asked: list[str] = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, **_: asked.append(text) or answer, raising=False
    )
    return asked


def test_an_installation_is_agreed_to_with_its_size_and_then_checked(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    installation = Installation(monkeypatch)
    module = OpenModule(host, tiny_model)
    module.use()
    asked = agree(monkeypatch, False)
    host.click(module.ui.installButton)
    assert "MB to download" in asked[0]
    assert "Not now" in module.status
    assert installation.done == []
    agree(monkeypatch, True)
    host.click(module.ui.installButton)
    assert installation.done[0] == ("torch", ">=2.2")
    assert "Installed." in module.status
    assert not module.ui.installButton.isVisibleTo(host.window)
    assert module.ui.reconstructButton.isEnabled()


def test_an_installation_that_fails_says_why(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    Installation(monkeypatch, works=False)
    agree(monkeypatch, True)
    module = OpenModule(host, tiny_model)
    host.click(module.ui.installButton)
    assert "disk is full" in module.status
    assert module.ui.installButton.isEnabled()


def test_diagnostics_are_copied_without_the_names_in_the_scene(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    module.use(name="Mustermann")
    module.ui.systemSection.collapsed = False
    host.click(module.ui.copyButton)
    copied = host.app.clipboard().text()
    assert "MAESIL" in copied
    assert "2.6.0" in copied
    assert "Mustermann" not in copied


def test_what_maesil_keeps_can_be_deleted(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    assert "no files" in module.ui.storageLabel.text
    left = module.session.jobsFolder / "maesil-job-old"
    left.mkdir(parents=True)
    (left / "voxels.npy").write_bytes(bytes(3_000_000))
    host.widget.exit()
    host.widget.enter()
    module.ui.systemSection.collapsed = False
    host.process()
    assert "3.0 MB" in module.ui.storageLabel.text
    assert module.ui.deleteButton.toolTip == "Choose a row first."
    module.ui.storageTable.selectRow(0)
    host.process()
    host.click(module.ui.deleteButton)
    assert not left.exists()
    assert "3.0 MB are free again" in module.status


def test_the_sample_is_one_click_away(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from MAESILSlicerLib import samples
    from volumes import addTestVolume

    answerAtOnce(monkeypatch, FACTS)
    monkeypatch.setattr(samples, "loadSample", lambda scene: addTestVolume(scene, name="Torso phantom"))
    module = OpenModule(host, tiny_model)
    host.click(module.ui.sampleButton)
    assert module.ui.volumeSelector.currentNode().GetName() == "Torso phantom"
    assert module.session.mask is not None


def test_a_real_ct_is_cut_and_masked(host: Host, scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from MAESILCore.volume import read_volume
    from MAESILSlicerLib.scene import addVolume

    answerAtOnce(monkeypatch, FACTS)
    host.open()
    node = addVolume(host.scene, read_volume(scans / "test" / "TS_example_ct.nii.gz"), "Abdomen")
    host.ui.volumeSelector.setCurrentNode(node)
    host.process()
    session = host.widget.logic.session
    assert session.check.warnings == ()
    assert session.mask.hidden_fraction == pytest.approx(0.75, abs=0.02)
    assert session.overlays.maskNode is not None
