"""PySide6 that answers as PythonQt does: properties are attributes, setters stay, nothing new can be put on a widget.

PySide's own `true_property` takes setters (`setValue`) and getters (`isEnabled`) away, which PythonQt keeps, and it holds
for one source file only. Here QObject itself looks a property up first, so that `slicer.util` runs unchanged as well.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "PySide6" in sys.modules:
    raise ImportError("The host for tests must be loaded before anything else loads PySide6.")
# Enums are integers in PythonQt.
os.environ["PYSIDE6_OPTION_PYTHON_ENUM"] = "0x02"

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

#: Properties, signals, slots and Python names of the widgets in use, as the real application told them.
API: dict[str, Any] = json.loads(Path(__file__).with_name("api.json").read_text(encoding="utf-8"))

_getAttribute = QtCore.QObject.__getattribute__
# Of the base below QObject: Python refuses the replaced one of QObject itself.
_setAttribute = QtCore.QObject.__base__.__setattr__
#: While PySide reads a .ui file it puts every widget on the outermost one as an attribute, which PythonQt does not.
loading = False
_properties: dict[type, dict[str, bool]] = {}


def propertiesOf(kind: type) -> dict[str, bool]:
    """The Qt properties of a class, each with whether it can be written."""
    if kind not in _properties:
        meta = kind.staticMetaObject  # type: ignore[attr-defined]
        found = (meta.property(index) for index in range(meta.propertyCount()))
        _properties[kind] = {entry.name(): entry.isWritable() for entry in found}
    return _properties[kind]


def _normalized(source: QtCore.QObject, signature: str) -> str:
    """The signature as Qt knows it; ValueError for a signal that the object does not have."""
    known = signature.replace("vtkMRMLNode*", "PyObject").replace("vtkMRMLScene*", "PyObject")
    known = bytes(QtCore.QMetaObject.normalizedSignature(known).data()).decode()
    if source.metaObject().indexOfSignal(known) < 0:
        raise ValueError(f"{source.metaObject().className()} has no signal {signature}")
    return known


def _connect(source: QtCore.QObject, signature: str, slot: Callable[..., Any]) -> bool:
    name = QtCore.SIGNAL(_normalized(source, signature))
    return bool(QtCore.QObject.connect(source, name, slot))


def _disconnect(source: QtCore.QObject, signature: str, slot: Callable[..., Any]) -> bool:
    name = QtCore.SIGNAL(_normalized(source, signature))
    return bool(QtCore.QObject.disconnect(source, name, slot))


def _className(source: QtCore.QObject) -> str:
    return source.metaObject().className()


_METHODS = {"connect": _connect, "disconnect": _disconnect, "className": _className}


def _read(self: QtCore.QObject, name: str) -> Any:
    if name.startswith("_"):
        return _getAttribute(self, name)
    if name in propertiesOf(type(self)):
        return _getAttribute(self, "property")(name)
    if name == "name":
        return _getAttribute(self, "property")("objectName")
    if name in _METHODS:
        return types.MethodType(_METHODS[name], self)
    return _getAttribute(self, name)


def _write(self: QtCore.QObject, name: str, value: Any) -> None:
    kind = type(self)
    properties = propertiesOf(kind)
    name = "objectName" if name == "name" else name
    if name in properties:
        if not properties[name] or not _getAttribute(self, "setProperty")(name, value):
            raise AttributeError(f"Property {name!r} of {_className(self)} does not accept {value!r}")
        return
    # Classes written in Python may have attributes of their own; what stands for a C++ class has private ones only.
    foreign = kind.__module__.startswith("PySide6.")
    if isinstance(value, QtCore.SignalInstance):
        # PySide keeps a signal on the object after its first use.
        _setAttribute(self, name, value)
        return
    if foreign or (kind.__module__.startswith(__package__) and not name.startswith("_")):
        if loading:
            return
        raise AttributeError(
            f"{name!r} does not exist on {_className(self)} and creating new attributes on C++ objects is not allowed"
        )
    _setAttribute(self, name, value)


class Dialogs:
    """What the module asked in a window of its own, and the answers that a test has laid ready."""

    asked: list[str] = []  # noqa: RUF012 - there is one user
    answers: list[Any] = []  # noqa: RUF012

    @classmethod
    def ask(cls, question: str) -> Any:
        """Note a question and give the next answer; a dialog that no test expects would wait for ever."""
        cls.asked.append(question)
        if not cls.answers:
            raise AssertionError(f"An unexpected dialog: {question}")
        return cls.answers.pop(0)


class QMessageBox(QtWidgets.QMessageBox):
    """A message box that is answered by the test."""

    def exec(self) -> int:
        return Dialogs.ask(self.text)

    exec_ = exec


class QFileDialog(QtWidgets.QFileDialog):
    """File dialogs answered by the test; as in PythonQt they give a path, not a path and a filter."""

    @staticmethod
    def _path(parent: Any = None, caption: str = "", *_: Any) -> str:
        return str(Dialogs.ask(caption))

    getExistingDirectory = getOpenFileName = getSaveFileName = _path


class QDesktopServices:
    """Notes what would be opened in another program."""

    @staticmethod
    def openUrl(url: QtCore.QUrl) -> bool:
        Dialogs.asked.append(url.toString())
        return True


class QtModule(types.ModuleType):
    """The module `qt`: all of Qt in one name space."""

    def __getattr__(self, name: str) -> Any:
        for part in (QtCore, QtGui, QtWidgets, QtUiTools):
            if hasattr(part, name):
                return getattr(part, name)
        raise AttributeError(f"module 'qt' has no attribute {name!r}")


def _install() -> QtModule:
    """Make QObject speak PythonQt; gives the module `qt`."""
    for kind in (getattr(part, name) for part in (QtCore, QtGui, QtWidgets, QtUiTools) for name in dir(part)):
        if isinstance(kind, type) and issubclass(kind, QtCore.QObject):
            kind.__setattr__ = _write  # type: ignore[method-assign, assignment]
    QtCore.QObject.__getattribute__ = _read  # type: ignore[method-assign, assignment]
    module = QtModule("qt")
    vars(module).update(QMessageBox=QMessageBox, QFileDialog=QFileDialog, QDesktopServices=QDesktopServices)
    return module


qt = _install()
