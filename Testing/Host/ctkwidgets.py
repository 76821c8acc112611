"""The widgets of CTK that the module uses, as small classes upon plain Qt."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)

from . import pythonqt

#: Positions of the slider below a ctkSliderWidget.
STEPS = 10_000


def forwarded(kind: str | type, part: str, name: str) -> Property:
    """A property that is a property of a part of the widget."""

    def read(self: Any) -> Any:
        return getattr(getattr(self, part), name)

    def write(self: Any, value: Any) -> None:
        setattr(getattr(self, part), name, value)

    return Property(kind, read, write)


def stored(kind: str | type, name: str, default: Any, changed: str = "") -> Property:
    """A property that is only kept; `changed` names a method to call with every new value."""

    def read(self: Any) -> Any:
        return getattr(self, "_" + name, default)

    def write(self: Any, value: Any) -> None:
        setattr(self, "_" + name, value)
        if changed:
            getattr(self, changed)()

    return Property(kind, read, write)


class ctkCollapsibleButton(QAbstractButton):
    """A section with a headline that shows and hides it."""

    contentsCollapsed = Signal(bool)
    flat = stored(bool, "flat", False)
    contentsLineWidth = stored(int, "contentsLineWidth", 1)
    collapsedHeight = stored(int, "collapsedHeight", 10)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.checkable = True
        self.checked = True
        self._height = self.fontMetrics().height() + 10
        self.setContentsMargins(0, self._height, 0, 0)
        self.toggled.connect(self._show)

    def _show(self, opened: bool) -> None:
        for child in self.children():
            if isinstance(child, QWidget):
                child.setVisible(opened)
        self.maximumHeight = 16_777_215 if opened else self._height
        self.contentsCollapsed.emit(not opened)

    def _collapsed(self) -> bool:
        return not self.checked

    def _setCollapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, _collapsed, _setCollapsed)

    def hitButton(self, position: Any) -> bool:
        return position.y() < self._height

    def sizeHint(self) -> QSize:
        inner = self.layout().totalSizeHint() if self.layout() else QSize(0, 0)
        return QSize(max(inner.width(), 120), inner.height() * self.checked + self._height)

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.text = ("\u25be  " if self.checked else "\u25b8  ") + self.text
        option.rect.setHeight(self._height)
        painter = QPainter(self)
        self.style().drawControl(QStyle.ControlElement.CE_PushButton, option, painter, self)
        painter.end()


class ctkCollapsibleGroupBox(QGroupBox):
    """A group box whose check mark shows and hides what is in it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.checkable = True
        self.toggled.connect(self._show)

    def _show(self, opened: bool) -> None:
        for child in self.children():
            if isinstance(child, QWidget):
                child.setVisible(opened)

    def _collapsed(self) -> bool:
        return not self.checked

    def _setCollapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, _collapsed, _setCollapsed)


class ctkSliderWidget(QWidget):
    """A slider with a spin box; the spin box holds the value, the slider follows."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    decimals = forwarded(int, "_spinBox", "decimals")
    singleStep = forwarded(float, "_spinBox", "singleStep")
    minimum = forwarded(float, "_spinBox", "minimum")
    maximum = forwarded(float, "_spinBox", "maximum")
    value = forwarded(float, "_spinBox", "value")
    prefix = forwarded(str, "_spinBox", "prefix")
    suffix = forwarded(str, "_spinBox", "suffix")
    spinBoxVisible = forwarded(bool, "_spinBox", "visible")
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 1.0)
    tracking = stored(bool, "tracking", True)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spinBox, self._slider = QDoubleSpinBox(self), QSlider(Qt.Orientation.Horizontal, self)
        self._spinBox.setRange(0, 99)
        self._slider.setRange(0, STEPS)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self.setFocusProxy(self._spinBox)
        self._spinBox.valueChanged.connect(self._follow)
        self._slider.valueChanged.connect(self._lead)
        self._slider.sliderReleased.connect(self._release)

    def _span(self) -> float:
        return self.maximum - self.minimum

    def _follow(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.value = round((value - self.minimum) / (self._span() or 1) * STEPS)
        self._slider.blockSignals(False)
        self.valueIsChanging.emit(value)
        if self.tracking or not self._slider.isSliderDown():
            self.valueChanged.emit(value)

    def _lead(self, position: int) -> None:
        value = self.minimum + position / STEPS * self._span()
        self.value = round(value / self.singleStep) * self.singleStep

    def _release(self) -> None:
        if not self.tracking:
            self.valueChanged.emit(self.value)

    def setValue(self, value: float) -> None:
        self.value = value

    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals

    def setSpinBoxVisible(self, visible: bool) -> None:
        self.spinBoxVisible = visible

    def reset(self) -> None:
        self.value = 0.0


class ctkDoubleSpinBox(QDoubleSpinBox):
    """A spin box."""


class ctkCheckBox(QCheckBox):
    """A check box."""


class ctkComboBox(QComboBox):
    """A combo box."""

    defaultText = stored(str, "defaultText", "")
    forceDefault = stored(bool, "forceDefault", False)


class ctkPathLineEdit(QWidget):
    """A line for a path with a button that opens a dialog."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    currentPath = forwarded(str, "_line", "text")
    showBrowseButton = forwarded(bool, "_button", "visible")
    showHistoryButton = stored(bool, "showHistoryButton", True)
    settingKey = stored(str, "settingKey", "")
    label = stored(str, "label", "")
    filters = stored(int, "filters", 0)
    options = stored(int, "options", 0)
    nameFilters = stored("QStringList", "nameFilters", [])

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line, self._button = QLineEdit(self), QToolButton(self)
        self._button.text = "..."
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(self._button)
        self.setFocusProxy(self._line)
        self._line.textChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def setCurrentPath(self, path: str) -> None:
        self.currentPath = path

    def addCurrentPathToHistory(self) -> None:
        """Histories outlive the application, which the host's does not."""

    def browse(self) -> None:
        path = pythonqt.QFileDialog.getOpenFileName(self, self.label or "browse")
        if path:
            self.currentPath = path


class ctkMessageBox(pythonqt.QMessageBox):
    """What `slicer.util.messageBox` shows."""
