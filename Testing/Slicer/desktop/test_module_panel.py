"""The panel as Slicer's main window holds it: the action and its status are in sight at 1280 x 720."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from modulehelp import FACTS, FACTS_WITHOUT_TORCH, OpenModule, answerAtOnce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hosting import Host

#: What Slicer leaves for the panel in a window of 1280 x 720 pixels with Data Probe open, measured in the application.
WIDTH, HEIGHT, HELP_HEIGHT = 425, 434, 47
LONG = (
    "Reconstructed with maesil-small-ct on CPU, 2 cores in 32 s. Voxels of the volume were edited meanwhile; "
    "the results are of those before. The values from 0 to 4095 are not HU, on which the models were trained."
)


def holdAsSlicerDoes(host: Host) -> Any:  # noqa: ANN401 - a QScrollArea
    """Put the panel into a scroll area below the help, as qSlicerModulePanel does; the area, on the screen.

    Slicer makes it wider where the panel asks for more, but the window has no more height to give.
    """
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QPushButton, QScrollArea, QSizePolicy, QSpacerItem, QVBoxLayout, QWidget

    panel = host.window.area().takeWidget()
    area, contents, about = QScrollArea(), QWidget(), QPushButton("Help & Acknowledgement")
    layout = QVBoxLayout(contents)
    layout.setContentsMargins(0, 0, 0, 0)
    about.setFixedHeight(HELP_HEIGHT)
    layout.addWidget(about)
    panel.layout().setContentsMargins(0, 0, 0, 0)
    layout.addWidget(panel, 1)
    panel.setSizePolicy(QSizePolicy.Minimum, QSizePolicy.Preferred)
    layout.addItem(QSpacerItem(0, 0, QSizePolicy.Minimum, QSizePolicy.MinimumExpanding))
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
    area.setWidgetResizable(True)
    area.setWidget(contents)
    host.window.setCentralWidget(area)
    panel.show()
    host.process()
    needed = contents.minimumSizeHint.width() + area.verticalScrollBar().sizeHint.width()
    area.setFixedSize(max(WIDTH, needed), HEIGHT)
    host.process()
    return area


def isWholeInSight(widget: Any) -> bool:  # noqa: ANN401 - a QWidget
    """Whether all of a widget is on the screen, and not a part of it behind the edge of a scroll area."""
    return widget.visible and widget.visibleRegion().boundingRect() == widget.rect


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModule:
    """The module, open in the host, with a volume."""
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    module.use()
    return module


@pytest.fixture(params=[9, 13])
def fontSize(request: pytest.FixtureRequest, module: OpenModule) -> Iterator[int]:
    """Fonts of the host's own size, and much larger ones, in points."""
    font = module.host.app.font()
    before = type(font)(font)
    font.setPointSize(request.param)
    module.host.app.setFont(font)
    module.host.process()
    module.window.refresh()
    yield request.param
    module.host.app.setFont(before)


@pytest.mark.parametrize(
    "section", ["volume", "mask", "display", "reconstruct", "results", "features", "pretrain", "system"]
)
@pytest.mark.parametrize("sentence", ["", LONG])
@pytest.mark.usefixtures("fontSize")
def test_the_action_and_its_whole_status_are_in_sight_whatever_section_is_used(
    module: OpenModule, section: str, sentence: str
) -> None:
    area = holdAsSlicerDoes(module.host)
    module.window.notify(sentence, False)
    ui = module.ui
    chosen = getattr(ui, section + "Section")
    chosen.collapsed = False
    module.host.process()
    ui.scrollArea.ensureWidgetVisible(chosen)
    module.host.process()
    assert isWholeInSight(ui.reconstructButton)
    assert not area.verticalScrollBar().visible
    assert ui.scrollArea.height >= 100
    assert module.status == sentence
    if sentence:
        assert isWholeInSight(ui.statusLabel)
        assert ui.statusLabel.height >= ui.statusLabel.heightForWidth(ui.statusLabel.width)


@pytest.mark.usefixtures("fontSize")
def test_progress_and_time_left_are_in_sight_beside_the_button_that_cancels(module: OpenModule) -> None:
    holdAsSlicerDoes(module.host)
    job = SimpleNamespace(
        state="running",
        fraction=0.4,
        seconds_left=100.0,
        folder=SimpleNamespace(path=module.session.jobsFolder / "job"),
    )
    module.session.task = SimpleNamespace(
        job=job,
        kind="reconstruction",
        noun="reconstruction",
        inputNode=None,
        isOver=False,
        poll=lambda: False,
        stop=lambda: None,
    )
    module.session.changed.emit("job")
    module.window.notify(LONG, False)
    module.host.process()
    ui = module.ui
    assert isWholeInSight(ui.reconstructButton)
    assert ui.reconstructButton.text == "&Cancel"
    assert isWholeInSight(ui.progressBar)
    assert ui.progressBar.format == "%p %, about 2 min left"
    assert isWholeInSight(ui.statusLabel)


@pytest.mark.usefixtures("fontSize")
def test_what_is_to_be_installed_is_in_sight_with_its_button(
    host: Host, module: OpenModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdAsSlicerDoes(host)
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    module.window.system.start()
    host.wait(lambda: module.window.system.report is not None)
    ui = module.ui
    for text in ("Install...", "Reinstall PyTorch..."):
        ui.repairButton.text = text
        host.process()
        for widget in (ui.installLabel, ui.repairButton, ui.reconstructButton):
            assert isWholeInSight(widget), widget.name
        # In one row, to leave the sections their height, and with the whole of their texts.
        assert ui.repairButton.y == ui.reconstructButton.y
        buttons = (ui.repairButton, ui.reconstructButton)
        assert all(button.width >= button.sizeHint.width() for button in buttons)
        assert sum(button.sizeHint.width() for button in buttons) < ui.scrollArea.minimumWidth


def test_the_developers_section_takes_no_height_from_the_panel(
    host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    host.app.userSettings().setValue("Developer/DeveloperMode", True)
    module = OpenModule(host, tiny_model)
    module.use()
    area, ui = holdAsSlicerDoes(host), module.ui
    area.setFixedSize(area.width, 900)
    host.process()
    reload = host.widget.reloadCollapsibleButton
    assert reload.visible
    assert reload.height == reload.sizeHint.height()
    others = (reload, ui.reconstructButton, ui.statusLabel)
    # Beside the heights of the other widgets, no more than margins and spacings.
    assert ui.scrollArea.height > 900 - HELP_HEIGHT - sum(widget.height for widget in others) - 80


@pytest.mark.parametrize("name", ["volumeSection", "advancedGroup"])
def test_what_is_opened_gets_the_width_that_it_needs(module: OpenModule, name: str) -> None:
    area = holdAsSlicerDoes(module.host)
    ui, section = module.ui, getattr(module.ui, name)
    section.collapsed = True
    module.host.process()
    # Wider than the panel, and not seen before the section is opened.
    ui.volumeInfoLabel.parentWidget().minimumWidth = area.width + 100
    ui.deviceComboBox.parentWidget().minimumWidth = area.width + 100
    section.collapsed = False
    module.host.process()
    needed = ui.scrollAreaContents.minimumSizeHint.width()
    assert needed > area.width
    assert ui.scrollArea.minimumWidth >= needed


def test_a_panel_is_never_narrower_than_its_sections(module: OpenModule) -> None:
    area = holdAsSlicerDoes(module.host)
    ui = module.ui
    for mode in range(ui.modeComboBox.count):
        ui.modeComboBox.setCurrentIndex(mode)
        module.host.process()
        needed = area.widget().minimumSizeHint.width()
        assert needed >= ui.scrollAreaContents.minimumSizeHint.width()
        assert needed <= WIDTH, ui.modeComboBox.currentText


def test_the_sections_that_are_used_first_are_open_and_the_details_folded(module: OpenModule) -> None:
    ui = module.ui
    isOpen = {
        name: not getattr(ui, name).collapsed
        for name in (
            "volumeSection",
            "maskSection",
            "displaySection",
            "reconstructSection",
            "resultsSection",
            "featuresSection",
            "pretrainSection",
        )
    }
    assert isOpen == {
        "volumeSection": True,
        "maskSection": True,
        "displaySection": False,
        "reconstructSection": True,
        "resultsSection": False,
        "featuresSection": False,
        "pretrainSection": False,
    }
    assert ui.advancedGroup.collapsed
    assert ui.systemSection.collapsed
