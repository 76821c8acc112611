"""What the module tells of the computer, repairs on it and keeps on it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import slicer

from hosting import Host
from modulehelp import FACTS, FACTS_WITHOUT_TORCH, OpenModule, answerAtOnce


class Installation:
    """Stands in for Slicer's ways to install, and for the check afterwards.

    Attributes:
        done: what was called, with its arguments.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, works: bool = True, hasExtension: bool = True
    ) -> None:
        from MAESILSlicerLib.system.check import SystemCheck, judge
        from MAESILSlicerLib.system.installers import Installers
        from MAESILSlicerLib.system.report import Application

        self.done: list[tuple[str, Any]] = []
        self.works, self.hasExtension = works, hasExtension
        report = judge(FACTS, Application("5.12.3", True))
        current = classmethod(lambda cls: cls("5.12.3", self.hasExtension))
        monkeypatch.setattr(Application, "current", current)
        monkeypatch.setattr(SystemCheck, "wait", lambda check: report)
        # What is in use is not replaced, and other tests use it.
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        installers = Installers(
            ensure=lambda needs, constraints: self.note("packages", needs),
            pip=lambda arguments: self.note("pip", arguments),
            uninstall=lambda names: self.note("uninstall", names),
            installTorch=lambda bounds: self.note("torch", bounds),
            installExtension=lambda name: bool(self.note("extension", name)),
        )
        monkeypatch.setattr(Installers, "fromSlicer", classmethod(lambda cls: installers))

    def note(self, way: str, argument: object) -> object:
        self.done.append((way, argument))
        if not self.works:
            raise RuntimeError("[Errno 28] No space left on device")
        return argument


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
    host.click(module.ui.repairButton)
    assert "MB to download" in asked[0]
    assert "Not now" in module.status
    assert installation.done == []
    agree(monkeypatch, True)
    host.click(module.ui.repairButton)
    assert installation.done[0] == ("torch", ">=2.2")
    assert "Installed." in module.status
    assert not module.ui.repairButton.isVisibleTo(host.window)
    assert module.ui.reconstructButton.isEnabled()


def test_an_installation_that_fails_says_why(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    Installation(monkeypatch, works=False)
    agree(monkeypatch, True)
    module = OpenModule(host, tiny_model)
    host.click(module.ui.repairButton)
    assert "disk is full" in module.status
    # What it has left behind is not known: the computer is checked anew.
    assert module.ui.systemLabel.text == "Checking ..."
    host.wait(lambda: module.window.system.report is not None)
    assert module.ui.repairButton.isEnabled()
    assert "disk is full" in module.status
    module.ui.systemSection.collapsed = False
    host.click(module.ui.copyButton)
    assert "Last installation:\nRuntimeError: [Errno 28] No space left" in host.app.clipboard().text()
    assert "The disk is full" in host.app.clipboard().text()


def factsWith(part: str, **changes: object) -> dict[str, Any]:
    return FACTS | {part: FACTS[part] | changes}


def factsWithout(*parts: str) -> dict[str, Any]:
    return {name: part for name, part in FACTS.items() if name not in parts} | {"exit_code": 1}


@pytest.mark.parametrize(
    ("facts", "button"),
    [
        (FACTS, ""),
        (FACTS_WITHOUT_TORCH, "Install..."),
        (factsWith("packages", versions={"scipy": None}), "Install..."),
        (factsWith("torch", version="1.9"), "Reinstall PyTorch..."),
        (factsWithout("torch"), "Reinstall PyTorch..."),
        (factsWithout("torch") | {"timed_out": True}, "Check again"),
        (factsWith("torch", error="MemoryError: not enough"), "Check again"),
        (factsWithout("machine", "packages", "torch"), "Check again"),
        (factsWith("torch", error="version `GLIBC_2.28' not found"), ""),
    ],
    ids=["fine", "missing", "packages", "old", "crashes", "hangs", "memory", "failed", "system"],
)
def test_the_button_beside_an_obstacle_is_one_that_helps(
    host: Host,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, Any],
    button: str,
) -> None:
    answerAtOnce(monkeypatch, facts)
    Installation(monkeypatch)
    asked = agree(monkeypatch, False)
    module = OpenModule(host, tiny_model)
    shown = module.ui.repairButton
    assert (shown.text if shown.isVisibleTo(host.window) else "") == button
    assert module.ui.installLabel.isVisibleTo(host.window) == (facts is not FACTS)
    assert module.ui.reinstallButton.isEnabled() == ("machine" in facts)
    said = f"{module.ui.systemLabel.text} {module.ui.systemDetailsLabel.text}"
    sentences = [part for part in re.split(r"[.:] ", said) if part]
    assert len(sentences) == len(set(sentences)), said
    if not button:
        return
    host.click(shown)
    if button == "Check again":
        assert module.ui.systemLabel.text == "Checking ..."
    else:
        assert "to download" in asked[0]


def test_an_installation_goes_on_after_the_restart_that_its_extension_needs(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    installation = Installation(monkeypatch, hasExtension=False)
    asked = agree(monkeypatch, True)
    module = OpenModule(host, tiny_model)
    host.click(module.ui.repairButton)
    assert installation.done == [("extension", "PyTorch")]
    assert "restart Slicer" in module.status
    openAnew(module)
    assert len(asked) == 1  # Not restarted yet: the extension is not there.
    installation.hasExtension = True
    openAnew(module)
    assert "to download" in asked[1]
    assert ("torch", ">=2.2") in installation.done
    assert "Installed." in module.status
    openAnew(module)
    assert len(asked) == 2


def openAnew(module: OpenModule) -> None:
    """Open the module as after a restart of the application."""
    module.host.widget.exit()
    module.host.app.moduleAboutToBeUnloaded.emit("MAESILSlicer")
    module.__init__(module.host, module.model)


def test_an_extension_that_is_declined_is_not_asked_for_again(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    installation = Installation(monkeypatch, hasExtension=False)
    asked = agree(monkeypatch, False)
    module = OpenModule(host, tiny_model)
    host.click(module.ui.repairButton)
    installation.hasExtension = True
    openAnew(module)
    assert len(asked) == 1
    assert installation.done == []


def test_a_pytorch_that_works_is_replaced_when_that_is_asked_for(
    host: Host, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    installation = Installation(monkeypatch)
    asked = agree(monkeypatch, True)
    module = OpenModule(host, tiny_model)
    module.ui.systemSection.collapsed = False
    assert module.ui.reinstallButton.text == "Reinstall PyTorch..."
    host.click(module.ui.reinstallButton)
    assert "is removed first" in asked[0]
    assert [way for way, _ in installation.done] == ["uninstall", "torch"]
    host.dialogs.answers = [str(tmp_path)]
    host.click(module.ui.offlineButton)
    assert "torch" in module.status
    assert "wheel" in module.status


def test_the_cursor_says_wait_only_once_the_question_was_answered(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    cursors: list[bool] = []

    def lookAtCursor(*_: object, **_options: object) -> bool:
        cursors.append(qt.QApplication.overrideCursor() is not None)
        return True

    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    installation = Installation(monkeypatch)
    monkeypatch.setattr(installation, "note", lookAtCursor)
    module = OpenModule(host, tiny_model)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lookAtCursor, raising=False)
    host.click(module.ui.repairButton)
    assert cursors[:2] == [False, True]
    assert qt.QApplication.overrideCursor() is None


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


def test_buttons_that_cannot_be_pressed_say_why(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    ui = module.ui
    assert not ui.maskSection.isEnabled()
    assert "Choose a volume" in ui.maskSection.toolTip
    module.use()
    assert ui.maskSection.isEnabled()
    assert ui.maskSection.toolTip == ""
    module.start()
    host.process()
    for button in (ui.reinstallButton, ui.offlineButton):
        assert not button.isEnabled()
        assert button.toolTip == "A reconstruction is already running; wait for it, or cancel it."
    for button in (ui.copyButton, ui.checkButton):
        assert button.isEnabled()
    module.session.cancel()
    module.finish()
    for button in (ui.reinstallButton, ui.offlineButton):
        assert button.isEnabled()
        assert "nstall" in button.toolTip


def test_while_the_computer_is_checked_the_buttons_wait_for_that(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.machine import Probe

    answerAtOnce(monkeypatch, factsWith("torch", version="1.9"))
    module = OpenModule(host, tiny_model)
    ui = module.ui
    assert ui.repairButton.text == "Reinstall PyTorch..."
    monkeypatch.setattr(Probe, "poll", lambda probe: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ui.systemSection.collapsed = False
    host.click(ui.checkButton)
    assert ui.repairButton.text == "Checking ..."
    for button in (ui.checkButton, ui.copyButton, ui.reinstallButton, ui.offlineButton, ui.repairButton):
        assert not button.isEnabled()
        assert "being checked" in button.toolTip


def test_a_sample_is_listed_among_what_is_kept_at_once(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.scene import samples
    from volumes import addTestVolume

    def loadSample(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
        path = samples.cacheFolder(scene) / samples.FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1_000_000))
        return addTestVolume(scene)

    answerAtOnce(monkeypatch, FACTS)
    monkeypatch.setattr(samples, "loadSample", loadSample)
    module = OpenModule(host, tiny_model)
    module.ui.systemSection.collapsed = False
    assert "keeps nothing" in module.ui.storageLabel.text
    host.click(module.ui.sampleButton)
    assert "1.0 MB" in module.ui.storageLabel.text


def test_what_maesil_keeps_can_be_deleted(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.scene import samples

    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    assert "keeps nothing" in module.ui.storageLabel.text
    job = module.session.jobsFolder / "maesil-job-old" / "voxels.npy"
    export = module.session.jobsFolder / "export-old" / "report.png"
    sample = samples.cacheFolder(host.scene) / samples.FILE_NAME
    for path, size in ((job, 3_000_000), (export, 2_000_000), (sample, 1_000_000)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    module.ui.batchSizeSpinBox.value = 3
    module.ui.systemSection.collapsed = False
    host.process()
    assert "6.0 MB" in module.ui.storageLabel.text
    assert module.ui.deleteButton.toolTip == "Choose a row first."
    table = module.ui.storageTable
    shown = [(table.item(row, 0).text().split()[0], table.item(row, 1).text()) for row in range(4)]
    assert shown == [("Job", "3.0 MB"), ("Written", "2.0 MB"), ("Sample", "1.0 MB"), ("Settings", "")]
    for told, isAsked in (
        ("3.0 MB are free", False),
        ("2.0 MB are free", True),
        ("1.0 MB are free", False),
        ("Deleted.", False),
    ):
        table.selectRow(0)
        host.process()
        if isAsked:
            host.click(module.ui.deleteButton)
            host.wait(module.ui.deleteButton.isEnabled)
            assert module.ui.deleteButton.text == "Delete for good?"
        host.click(module.ui.deleteButton)
        assert told in module.status
        assert not module.ui.deleteButton.isEnabled()  # A second press deletes nothing more.
    assert not any(path.exists() for path in (job.parent, export.parent, sample))
    assert module.ui.batchSizeSpinBox.value == 0
    assert "keeps nothing" in module.ui.storageLabel.text


def test_written_files_are_deleted_by_a_second_press_that_is_no_double_click(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    for name in ("export-a", "export-b"):
        (module.session.jobsFolder / name).mkdir(parents=True)
    module.ui.systemSection.collapsed = False
    host.process()
    table, button = module.ui.storageTable, module.ui.deleteButton
    pause = module.window.system._storage._pause
    pause.setInterval(600_000)
    for row in (0, 1):
        table.selectRow(row)
        host.process()
        assert button.text == "Delete"
        host.click(button)
        assert (button.text, button.isEnabled()) == ("Delete for good?", False)
    assert len(list(module.session.jobsFolder.iterdir())) == 2
    pause.start(1)
    host.wait(button.isEnabled)
    host.click(button)
    assert [path.name for path in module.session.jobsFolder.iterdir()] == ["export-a"]
    assert button.text == "Delete"


def test_what_is_kept_is_named_after_its_scan(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    node = module.use(name="Chest")
    (module.session.jobsFolder / "job").mkdir(parents=True)
    (module.session.jobsFolder / "job" / "report.png").write_bytes(b"PNG")
    module.session._files.keep(module.session.jobsFolder / "job", node)
    module.parameters.export = True
    module.host.process()
    module.ui.systemSection.collapsed = False
    module.start()
    table = module.ui.storageTable
    names = {table.item(row, 0).text() for row in range(table.rowCount)}
    assert names == {"Job (Chest)", "Written files (Chest)"}
    module.session.cancel()
    module.finish()
