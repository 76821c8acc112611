"""The parameter node wrapper: typed fields kept as text in a scripted module node, and bound to widgets.

Types and pairs of field and widget that were not seen to work in the real application are refused.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import vtk


@dataclass(frozen=True)
class Default:
    """The value of a field that was never set."""

    value: Any


@dataclass(frozen=True)
class WithinRange:
    """Bounds of a number, both of them allowed."""

    minimum: float
    maximum: float

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass(frozen=True)
class Minimum:
    """The least value of a number."""

    minimum: float

    def validate(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be greater than {self.minimum}, is {value}")


@dataclass(frozen=True)
class Choice:
    """The values that a field may have."""

    choices: list[Any]

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass(frozen=True)
class Field:
    """One field: its type, its default, and what its annotations demand."""

    name: str
    kind: type
    default: Any
    rules: tuple[Any, ...]

    @property
    def isNode(self) -> bool:
        return issubclass(self.kind, slicer.vtkMRMLNode)

    def rule(self, kind: type) -> Any:
        return next((rule for rule in self.rules if isinstance(rule, kind)), None)

    def validate(self, value: Any) -> None:
        kinds = (int, float) if self.kind is float else self.kind
        if value is None and not self.isNode:
            raise ValueError("Value must not be None")
        if value is not None and not isinstance(value, kinds):
            raise TypeError(f"Value must be of type '{kinds}', is type '{type(value)}' value '{value}'")
        for rule in self.rules:
            rule.validate(value)

    def write(self, node: Any, value: Any) -> None:
        self.validate(value)
        if self.isNode:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def read(self, node: Any) -> Any:
        text = node.GetParameter(self.name)
        if self.isNode:
            return node.GetNodeReference(self.name)
        if issubclass(self.kind, enum.Enum):
            return self.kind[text]
        return text == "True" if self.kind is bool else self.kind(text)


_STORED = (int, float, str, bool, Path, enum.Enum, slicer.vtkMRMLNode)
_EMPTY = {int: 0, float: 0.0, str: "", bool: False, Path: Path()}


def _fieldOf(owner: type, name: str, annotated: Any) -> Field:
    kind, *rules = typing.get_args(annotated) if hasattr(annotated, "__metadata__") else (annotated,)
    if not isinstance(kind, type) or not issubclass(kind, _STORED):
        raise TypeError(f"Unable to create serializer for {owner} member {name}: {kind}")
    default = next((rule.value for rule in rules if isinstance(rule, Default)), None)
    if default is None:
        default = next(iter(kind)) if issubclass(kind, enum.Enum) else _EMPTY.get(kind)
    default = vars(owner).get(name, default)
    return Field(name, kind, default, tuple(rule for rule in rules if not isinstance(rule, Default)))


@dataclass(frozen=True)
class Binding:
    """How a widget shows a field: read it, write it, and the signal of a change."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    changed: Any


#: Widget class -> type of the field, property that holds the value, signal of its change.
_SIMPLE = {
    "QSpinBox": (int, "value", "valueChanged"),
    "QSlider": (int, "value", "valueChanged"),
    "QDoubleSpinBox": (float, "value", "valueChanged"),
    "ctkSliderWidget": (float, "value", "valueChanged"),
    "QCheckBox": (bool, "checked", "stateChanged"),
    "QPushButton": (bool, "checked", "toggled"),
    "QLineEdit": (str, "text", "textChanged"),
    "ctkPathLineEdit": (Path, "currentPath", "currentPathChanged"),
}


def _bind(field: Field, widget: Any) -> Binding:
    kind = type(widget).__name__
    if kind == "qMRMLNodeComboBox" and field.isNode:
        widget.nodeTypes = [field.kind.__name__]
        return Binding(widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged)
    if kind == "QComboBox":
        return _bindCombo(field, widget)
    expected, name, signal = _SIMPLE.get(kind, (None, "", ""))
    if expected is not field.kind:
        raise RuntimeError(
            f"Unable to create GUI connector from datatype '{field.kind}' to widget type '{kind}'"
        )
    bounds = field.rule(WithinRange)
    if bounds is not None:
        widget.minimum, widget.maximum = bounds.minimum, bounds.maximum
    elif kind in ("ctkSliderWidget", "QSlider"):
        raise RuntimeError(f"Cannot have a connection to {kind} where the float types is unbounded.")
    text = str if expected is Path else expected
    return Binding(
        lambda: expected(getattr(widget, name)),
        lambda value: setattr(widget, name, text(value)),
        getattr(widget, signal),
    )


def _bindCombo(field: Field, combo: Any) -> Binding:
    choice = field.rule(Choice)
    if choice is None and not issubclass(field.kind, enum.Enum):
        raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
    values = list(field.kind) if choice is None else list(choice.choices)
    label = getattr(field.kind, "label", lambda value: getattr(value, "name", str(value)))
    combo.clear()
    combo.addItems([label(value) for value in values])
    return Binding(
        lambda: values[combo.currentIndex],
        lambda value: combo.setCurrentIndex(values.index(value)),
        combo.currentIndexChanged,
    )


class _Wrapper:
    """What the decorator adds to a class of fields."""

    allParameters: typing.ClassVar[dict[str, Field]]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, tuple[Binding, Callable[..., None]]]] = {}
        self._tag, self._updating = 0, False
        for field in self.allParameters.values():
            if not parameterNode.HasParameter(field.name):
                field.write(parameterNode, field.default)

    def getValue(self, name: str) -> Any:
        return self.allParameters[name].read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        with slicer.util.NodeModify(self.parameterNode):
            self.allParameters[name].write(self.parameterNode, value)

    def connectGui(self, gui: Any) -> int:
        widgets = {widget.property("SlicerParameterName"): widget for widget in vars(gui).values()}
        widgets.pop(None, None)
        unknown = set(widgets) - set(self.allParameters)
        if unknown:
            raise ValueError(f"Cannot find a param with the given name: {', '.join(sorted(unknown))}")
        bound = {name: _bind(self.allParameters[name], widget) for name, widget in widgets.items()}
        self._tag += 1
        self._guis[self._tag] = {
            name: (binding, self._follower(name, binding)) for name, binding in bound.items()
        }
        for name, (binding, follow) in self._guis[self._tag].items():
            binding.write(self.getValue(name))
            binding.changed.connect(follow)
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGuis())
        return self._tag

    def disconnectGui(self, tag: int) -> None:
        for binding, follow in self._guis.pop(tag, {}).values():
            binding.changed.disconnect(follow)

    def _follower(self, name: str, binding: Binding) -> Callable[..., None]:
        def follow(*_: Any) -> None:
            if not self._updating:
                self.setValue(name, binding.read())

        return follow

    def _updateGuis(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for gui in self._guis.values():
                for name, (binding, _) in gui.items():
                    binding.write(self.getValue(name))
        finally:
            self._updating = False

    def AddObserver(self, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> None:
        self.parameterNode.EndModify(wasModified)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(owner: type) -> type:
    """Make typed properties of the annotations of a class."""
    hints = typing.get_type_hints(owner, include_extras=True)
    fields = {name: _fieldOf(owner, name, annotated) for name, annotated in hints.items()}
    for name in fields:
        setattr(
            owner,
            name,
            property(
                lambda self, name=name: self.getValue(name),
                lambda self, value, name=name: self.setValue(name, value),
            ),
        )
    owner.allParameters = fields  # type: ignore[attr-defined]
    for name, value in vars(_Wrapper).items():
        if isinstance(value, types.FunctionType):
            setattr(owner, name, value)
    return owner
