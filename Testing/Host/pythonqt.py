"""PySide6 that answers as PythonQt does: properties are attributes, setters stay, nothing new can be put on a widget.

PySide's own `true_property` takes setters (`setValue`) and getters (`isEnabled`) away, which PythonQt keeps, and holds
for one source file only. Here QObject itself looks properties up first, so that `slicer.util` runs unchanged as well.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

if "PySide6" in sys.modules:
    raise ImportError("The host for tests must be loaded before anything else loads PySide6.")
# Enums are integers in PythonQt.
os.environ["PYSIDE6_OPTION_PYTHON_ENUM"] = "0x02"

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_PARTS = (QtCore, QtGui, QtWidgets, QtUiTools)
#: What the real application told of the classes in use.
API = json.loads(Path(__file__).with_name("api.json").read_text(encoding="utf-8"))
#: While PySide reads a .ui file it puts every widget on the outermost one as an attribute, which PythonQt does not.
loading = False

_getAttribute = QtCore.QObject.__getattribute__
# That of the class below, since Python refuses the replaced one of QObject.
_setAttribute = QtCore.QObject.__base__.__setattr__


@functools.cache
def propertiesOf(kind: type[QtCore.QObject]) -> dict[str, bool]:
    """The Qt properties of a class, each with whether it can be written."""
    meta = kind.staticMetaObject
    found = (meta.property(index) for index in range(meta.propertyCount()))
    return {entry.name(): entry.isWritable() for entry in found}


def _signal(source: QtCore.QObject, signature: str) -> str:
    known = signature.replace("vtkMRMLNode*", "PyObject").replace("vtkMRMLScene*", "PyObject")
    if source.metaObject().indexOfSignal(known) < 0:
        raise ValueError(f"{_className(source)} has no signal {signature}")
    return QtCore.SIGNAL(known)


def _connect(source: QtCore.QObject, signature: str, slot: Callable[..., object]) -> bool:
    return bool(QtCore.QObject.connect(source, _signal(source, signature), slot))


def _disconnect(source: QtCore.QObject, signature: str, slot: Callable[..., object]) -> bool:
    return bool(QtCore.QObject.disconnect(source, _signal(source, signature), slot))


def _className(source: QtCore.QObject) -> str:
    return source.metaObject().className()


_METHODS = {"connect": _connect, "disconnect": _disconnect, "className": _className}


def _read(self: QtCore.QObject, name: str) -> object:
    if name.startswith("_"):
        return _getAttribute(self, name)
    kind = type(self)
    properties = propertiesOf(kind)
    if name in properties or name == "name":
        return _getAttribute(self, "property")("objectName" if name == "name" else name)
    if name in _METHODS:
        return types.MethodType(_METHODS[name], self)
    wanted = name[3:4].lower() + name[4:]
    if name.startswith("set") and wanted in properties and not hasattr(kind, name):
        return functools.partial(_write, self, wanted)
    return _getAttribute(self, name)


def _write(self: QtCore.QObject, name: str, value: object) -> None:
    kind = type(self)
    name = "objectName" if name == "name" else name
    if name in propertiesOf(kind):
        if not propertiesOf(kind)[name] or not _getAttribute(self, "setProperty")(name, value):
            raise AttributeError(f"Property {name!r} of {_className(self)} does not accept {value!r}")
        return
    isStandIn = kind.__module__.startswith(__package__ + ".")
    isForeign = kind.__module__.startswith("PySide6.") or (isStandIn and not name.startswith("_"))
    # PySide keeps a signal on its object once it was asked for.
    if isForeign and not isinstance(value, QtCore.SignalInstance):
        if loading:
            return
        raise AttributeError(
            f"{name!r} does not exist on {_className(self)} and creating new attributes on C++ objects is not allowed"
        )
    _setAttribute(self, name, value)


class Dialogs:
    """What was asked in dialogs, and the answers that a test has laid ready."""

    asked: tuple[str, ...] = ()
    answers: tuple[object, ...] = ()

    @classmethod
    def ask(cls, question: str) -> object:
        """Give the next answer; a dialog that no test expects would wait for ever."""
        cls.asked += (question,)
        if not cls.answers:
            raise AssertionError(f"An unexpected dialog: {question}")
        answer, *rest = cls.answers
        cls.answers = tuple(rest)
        return answer


class QMessageBox(QtWidgets.QMessageBox):
    """A message box that the test answers."""

    def exec_(self) -> object:
        return Dialogs.ask(self.text)


class QFileDialog(QtWidgets.QFileDialog):
    """File dialogs that the test answers; as in PythonQt they give the path alone."""

    @staticmethod
    def getExistingDirectory(parent: object = None, caption: str = "", *_: object) -> object:
        return Dialogs.ask(caption)

    getOpenFileName = getSaveFileName = getExistingDirectory


class QDesktopServices:
    """Takes down what would be opened in another program."""

    @staticmethod
    def openUrl(url: QtCore.QUrl) -> bool:
        Dialogs.asked += (url.toString(),)
        return True


class QtModule(types.ModuleType):
    """The module `qt`: all of Qt in one name space."""

    def __getattr__(self, name: str) -> object:
        part = next((part for part in _PARTS if hasattr(part, name)), None)
        if part is None:
            raise AttributeError(f"module 'qt' has no attribute {name!r}")
        return getattr(part, name)


for _kind in [getattr(part, name) for part in _PARTS for name in dir(part)]:
    if isinstance(_kind, type) and issubclass(_kind, QtCore.QObject):
        _kind.__setattr__ = _write
QtCore.QObject.__getattribute__ = _read
qt = QtModule("qt")
vars(qt).update(QMessageBox=QMessageBox, QFileDialog=QFileDialog, QDesktopServices=QDesktopServices)
