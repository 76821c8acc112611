"""The application around the module: `slicer.app`, `slicer.modules`, `.ui` files, the window, what `import` finds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import slicer
from PySide6.QtCore import QBuffer, QSettings, Qt, Signal
from PySide6.QtUiTools import QUiLoader as PlainLoader
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from . import ctkwidgets, mrmlwidgets, pythonqt, scripted

if TYPE_CHECKING:
    from layoutviews import LayoutManager


class QUiLoader(PlainLoader):
    """Puts the stand-ins in the place of the widgets of ctk and qMRML, and makes the connections by name."""

    def createWidget(self, kind: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        standIn = getattr(ctkwidgets, kind, None) or getattr(mrmlwidgets, kind, None)
        if kind.startswith("Q") or standIn is None:
            return super().createWidget(kind, parent, name)
        widget = standIn(parent)
        widget.objectName = name
        return widget

    def load(self, device: QBuffer, parent: QWidget | None = None) -> QWidget:
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        connections = [[part.text for part in connection] for connection in tree.iter("connection")]
        for found in tree.findall("connections"):
            tree.remove(found)
        buffer = QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        pythonqt.loading = True
        widget = super().load(buffer, parent)
        pythonqt.loading = False
        named = {child.name: child for child in (widget, *widget.findChildren(QWidget))}
        for sender, signal, receiver, slot in connections:
            named[sender].connect(signal, getattr(named[receiver], slot.partition("(")[0]))
        return widget


class Module:
    """`slicer.modules.<name>`: a scripted module with its panel, which is built when it is first asked for."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self._panel = name, str(path), None
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        setattr(slicer.modules, name.lower(), self)
        setattr(slicer.modules, name + "Instance", getattr(sys.modules[name], name)(self))

    def widgetRepresentation(self) -> ModulePanel:
        if self._panel is None:
            self._panel = ModulePanel(self.name)
        return self._panel


class ModulePanel(mrmlwidgets.qMRMLWidget):
    """Where a module's widget lives."""

    def __init__(self, name: str) -> None:
        super().__init__()
        QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)
        self._name = name
        self.reload()

    def reload(self) -> None:
        self._widget = getattr(sys.modules[self._name], self._name + "Widget")(self)
        setattr(slicer.modules, self._name + "Widget", self._widget)
        self._widget.setup()

    def self(self) -> scripted.ScriptedLoadableModuleWidget:
        return self._widget


class Application(QApplication):
    """`slicer.app`; it manages modules and files as well."""

    startupCompleted, moduleAboutToBeUnloaded = Signal(), Signal(str)
    temporaryPath, majorVersion, minorVersion = "", 5, 12

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.applicationName, self.applicationVersion, self.organizationName = "Slicer", "5.12.3", "NA-MIC"
        QSettings.setDefaultFormat(QSettings.IniFormat)

    def start(self, folder: Path, layout: LayoutManager) -> None:
        """Begin afresh: no modules, no settings, and a folder for what is temporary."""
        self._layout, self._modules, self._pauses = layout, {}, 0
        type(self).temporaryPath = str(folder)
        QSettings.setPath(QSettings.IniFormat, QSettings.UserScope, str(folder / "settings"))

    def layoutManager(self) -> LayoutManager:
        return self._layout

    def moduleManager(self) -> Application:
        return self

    coreIOManager = moduleManager

    def module(self, name: str) -> Module | None:
        return self._modules.get(name)

    def loadModule(self, path: Path) -> Module:
        self._modules[path.stem] = Module(path.stem, path)
        return self._modules[path.stem]

    def userSettings(self) -> QSettings:
        return QSettings()

    def testingEnabled(self) -> bool:
        return False

    def pauseRender(self) -> None:
        self._pauses += 1

    def resumeRender(self) -> None:
        self._pauses -= 1

    def saveNodes(self, kind: str, properties: dict[str, str], messages: object) -> bool:
        return bool(slicer.mrmlScene.WriteToMRB(properties["fileName"], None, messages))

    def loadNodes(self, kind: str, properties: dict[str, str], nodes: object, messages: object) -> bool:
        return bool(slicer.mrmlScene.ReadFromMRB(properties["fileName"], True, messages))


class Window(QMainWindow):
    """The main window: the module's panel on the left, the views on the right."""

    def __init__(self, layout: LayoutManager) -> None:
        super().__init__()
        self.objectName, self.windowTitle = "qSlicerMainWindow", "Stand-in for 3D Slicer"
        self._area, dock = QScrollArea(), QDockWidget("Module")
        self._area.widgetResizable, self._area.minimumWidth = True, 470
        dock.setWidget(self._area)
        self.addDockWidget(Qt.LeftDockWidgetArea, dock)
        self.setCentralWidget(layout.viewport())
        self.resize(1500, 1050)

    def area(self) -> QScrollArea:
        return self._area
