"""The parameter node wrapper: typed fields kept as text in a scripted module node, and bound to widgets.

Types, and pairs of field and widget, that the real one does not know are refused here too.
"""

from __future__ import annotations

import enum
import functools
import typing
from dataclasses import dataclass

import slicer
import vtk
from PySide6.QtWidgets import QWidget
from slicer import vtkMRMLNode, vtkMRMLScriptedModuleNode

_EMPTY = {int: 0, float: 0.0, str: "", bool: False}


@dataclass(frozen=True, eq=False)
class WithinRange:
    """Bounds of a number, both of them allowed."""

    minimum: float
    maximum: float = 2**31 - 1

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(WithinRange):
    """The least value of a number."""


class Field:
    """One field: its type, its default, and what its annotations demand."""

    def __init__(self, owner: type, name: str, annotated: object) -> None:
        kind, *self.rules = typing.get_args(annotated) if hasattr(annotated, "__metadata__") else (annotated,)
        if not issubclass(kind, (*_EMPTY, enum.Enum, vtkMRMLNode)):
            raise TypeError(f"Unable to create serializer for {owner} member {name}: {kind}")
        self.name, self.kind = name, kind
        self.isNode, self.isEnum = issubclass(kind, vtkMRMLNode), issubclass(kind, enum.Enum)
        self.default = getattr(owner, name, next(iter(kind)) if self.isEnum else _EMPTY.get(kind))

    def write(self, node: vtkMRMLScriptedModuleNode, value: object) -> None:
        if not isinstance(value, (int, float) if self.kind is float else self.kind) and not (
            self.isNode and not value
        ):
            raise TypeError(f"Value must be of type '{self.kind}', is type '{type(value)}' value '{value}'")
        for rule in self.rules:
            rule.validate(value)
        node.SetParameter(self.name, "" if self.isNode else value.name if self.isEnum else str(value))
        if self.isNode:
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)

    def read(self, node: vtkMRMLScriptedModuleNode) -> object:
        text = node.GetParameter(self.name)
        if self.isNode:
            return node.GetNodeReference(self.name)
        return self.kind[text] if self.isEnum else text == "True" if self.kind is bool else self.kind(text)


#: Class of a widget -> type of its field, property with the value, signal of a change.
_WIDGETS = {
    "QSpinBox": (int, "value", "valueChanged"),
    "ctkSliderWidget": (float, "value", "valueChanged"),
    "QCheckBox": (bool, "checked", "stateChanged"),
    "QComboBox": (enum.Enum, "currentIndex", "currentIndexChanged"),
    "qMRMLNodeComboBox": (vtkMRMLNode, "currentNodeID", "currentNodeChanged"),
}


class Connector:
    """A field in a widget."""

    def __init__(self, field: Field, widget: QWidget) -> None:
        self._widget, self._values, kind = widget, [], type(widget).__name__
        expected, self._property, signal = _WIDGETS.get(kind, (type(None), "", ""))
        if not issubclass(field.kind, expected):
            raise RuntimeError(
                f"Unable to create GUI connector from datatype '{field.kind}' to widget type '{kind}'"
            )
        if field.rules:
            widget.minimum, widget.maximum = field.rules[0].minimum, field.rules[0].maximum
        elif kind == "ctkSliderWidget":
            raise RuntimeError(f"Cannot have a connection to {kind} where the type is unbounded.")
        if field.isNode:
            widget.nodeTypes = [field.kind.__name__]
        elif field.isEnum:
            self._values = list(field.kind)
            label = getattr(field.kind, "label", lambda value: value.name)
            widget.clear()
            widget.addItems([label(value) for value in self._values])
        self.changed = getattr(widget, signal)

    def read(self) -> object:
        if hasattr(self._widget, "currentNode"):
            return self._widget.currentNode()
        value = getattr(self._widget, self._property)
        return self._values[value] if self._values else value

    def write(self, value: object) -> None:
        if hasattr(self._widget, "currentNode"):
            self._widget.setCurrentNode(value)
        else:
            setattr(self._widget, self._property, self._values.index(value) if self._values else value)


class _Wrapper:
    """What the decorator adds to a class of fields."""

    def __init__(self, parameterNode: vtkMRMLScriptedModuleNode) -> None:
        self.parameterNode, self._guis, self._updating = parameterNode, {}, False
        for field in self.allParameters.values():
            if not parameterNode.HasParameter(field.name):
                field.write(parameterNode, field.default)

    def __getattr__(self, name: str) -> object:
        if name in ("AddObserver", "RemoveObserver", "StartModify", "EndModify", "Modified"):
            return getattr(self.parameterNode, name)
        raise AttributeError(name)

    def getValue(self, name: str) -> object:
        return self.allParameters[name].read(self.parameterNode)

    def setValue(self, name: str, value: object) -> None:
        with slicer.util.NodeModify(self.parameterNode):
            self.allParameters[name].write(self.parameterNode, value)

    def connectGui(self, gui: object) -> int:
        named = {widget.property("SlicerParameterName"): widget for widget in vars(gui).values()}
        unknown = set(named) - {None} - set(self.allParameters)
        if unknown:
            raise ValueError(f"Cannot find a param with the given name: {unknown}")
        connectors = {
            name: Connector(self.allParameters[name], widget) for name, widget in named.items() if name
        }
        tag = len(self._guis)
        self._guis[tag] = [
            (name, one, functools.partial(self._follow, name, one)) for name, one in connectors.items()
        ]
        for name, connector, follow in self._guis[tag]:
            connector.write(self.getValue(name))
            connector.changed.connect(follow)
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGuis())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for _, connector, follow in self._guis[tag]:
            connector.changed.disconnect(follow)
        self._guis[tag] = []

    def _follow(self, name: str, connector: Connector, *_: object) -> None:
        if not self._updating:
            self.setValue(name, connector.read())

    def _updateGuis(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for name, connector, _ in [entry for gui in self._guis.values() for entry in gui]:
                connector.write(self.getValue(name))
        finally:
            self._updating = False


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(owner: type) -> type:
    """Make typed properties of the annotations of a class."""
    hints = typing.get_type_hints(owner, include_extras=True)
    fields = {name: Field(owner, name, annotated) for name, annotated in hints.items()}
    names = {"allParameters": fields} | {name: _property(name) for name in fields}
    return type(
        owner.__name__, (_Wrapper, owner), {**names, "__module__": owner.__module__, "__doc__": owner.__doc__}
    )
