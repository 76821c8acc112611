"""The widgets of CTK that the module uses, as small classes upon plain Qt."""

from __future__ import annotations

from PySide6.QtCore import Property, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QWidget,
)

from . import pythonqt

_TYPES = {"QString": str, "bool": bool, "int": int, "double": float, "QStringList": list}


def kept(kind: str) -> dict[str, Property]:
    """All properties of a class of the real application, which keep what is written and then call `_update`."""
    return {
        name: _property("QStringList" if of == "QStringList" else _TYPES[of], name, _TYPES[of]())
        for name, of in pythonqt.API["classes"][kind]["properties"].items()
        if of in _TYPES and name != "text"
    }


def _property(of: str | type, name: str, usual: object) -> Property:
    def read(self: QWidget) -> object:
        return getattr(self, "_" + name, usual)

    def write(self: QWidget, value: object) -> None:
        setattr(self, "_" + name, value)
        getattr(self, "_update", lambda: None)()

    return Property(of, read, write)


def forwarded(of: type, part: str, name: str) -> Property:
    """A property that is one of a part of the widget."""

    def read(self: QWidget) -> object:
        return getattr(getattr(self, part), name)

    def write(self: QWidget, value: object) -> None:
        setattr(getattr(self, part), name, value)

    return Property(of, read, write)


class _Collapsible:
    """Has room for its headline alone while it is not checked; what is in it is clipped, not hidden as in CTK."""

    def _collapse(self, collapsed: bool) -> None:
        self.checked = not collapsed

    def _fit(self, opened: bool) -> None:
        self.maximumHeight = 16_777_215 if opened else self._headline()

    def _headline(self) -> int:
        return self.fontMetrics().height() + 10


class ctkCollapsibleGroupBox(_Collapsible, QGroupBox):
    """A group box that shows its contents while it is checked."""

    collapsed = Property(bool, lambda self: not self.checked, _Collapsible._collapse)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.checkable = True
        self.toggled.connect(self._fit)


class ctkCollapsibleButton(_Collapsible, QAbstractButton):
    """A section below a headline that shows and hides it."""

    contentsCollapsed = Signal(bool)
    collapsed = Property(bool, lambda self: not self.checked, _Collapsible._collapse)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.checkable = self.checked = True
        # That of ctkCollapsibleButton: it takes height that is left over, and does not ask for it.
        self.setSizePolicy(QSizePolicy.Minimum, QSizePolicy.Preferred)
        self.setContentsMargins(0, self._headline(), 0, 0)
        self.toggled.connect(self._fit)
        self.toggled.connect(lambda opened: self.contentsCollapsed.emit(not opened))

    def hitButton(self, position: QPoint) -> bool:
        return position.y() < self._headline()

    def sizeHint(self) -> QSize:
        inner = self.layout().totalSizeHint() if self.layout() and self.checked else QSize(0, 0)
        return inner + QSize(0, self._headline())

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.text = ("\u25be  " if self.checked else "\u25b8  ") + self.text
        option.rect.setHeight(self._headline())
        painter = QPainter(self)
        self.style().drawControl(QStyle.CE_PushButton, option, painter, self)
        painter.end()


class ctkSliderWidget(QWidget):
    """A slider with a spin box: the spin box holds the value, the slider follows."""

    vars().update(kept("ctkSliderWidget"))
    valueChanged, valueIsChanging = Signal(float), Signal(float)
    decimals = forwarded(int, "_spinBox", "decimals")
    minimum = forwarded(float, "_spinBox", "minimum")
    maximum = forwarded(float, "_spinBox", "maximum")
    singleStep = forwarded(float, "_spinBox", "singleStep")
    suffix = forwarded(str, "_spinBox", "suffix")
    value = forwarded(float, "_spinBox", "value")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spinBox, self._slider = QDoubleSpinBox(self), QSlider(Qt.Horizontal, self)
        self._slider.setRange(0, 10_000)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self.setFocusProxy(self._spinBox)
        self._spinBox.valueChanged.connect(self._follow)
        self._slider.valueChanged.connect(self._lead)
        self.tracking = True

    def _follow(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.value = round((value - self.minimum) / ((self.maximum - self.minimum) or 1) * 10_000)
        self._slider.blockSignals(False)
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _lead(self, place: int) -> None:
        value = self.minimum + place / 10_000 * (self.maximum - self.minimum)
        self.value = round(value / self.singleStep) * self.singleStep


class ctkMessageBox(pythonqt.QMessageBox):
    """What `slicer.util.messageBox` shows."""
