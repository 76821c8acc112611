"""The application around the module: `slicer.app`, `slicer.modules`, module panel, layout, and what a module inherits."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import QObject, QSettings, Qt, Signal
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QScrollArea, QVBoxLayout

from . import (
    ctkwidgets,
    mrmlwidgets,
    parameters,
    pythonqt,  # before PySide6
    uiloader,
)
from .views import LayoutManager


class Application(QApplication):
    """`slicer.app`."""

    startupCompleted = Signal()
    temporaryPath, slicerHome = "", "/opt/slicer"
    majorVersion, minorVersion = 5, 12

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.applicationName, self.applicationVersion = "Slicer", "5.12.3-host"
        self.organizationName = "NA-MIC"
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        self._manager, self._testing = ModuleManager(), False
        self._layout: LayoutManager | None = None

    def begin(self, folder: Path, layout: LayoutManager) -> None:
        """Start afresh: settings and temporary files of its own."""
        type(self).temporaryPath = str(folder)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder / "settings"))
        self._manager, self._layout, self._testing = ModuleManager(), layout, False

    def layoutManager(self) -> Any:
        return self._layout

    def moduleManager(self) -> Any:
        return self._manager

    def coreIOManager(self) -> Any:
        return SceneFiles()

    def applicationLogic(self) -> Any:
        return self._layout.logic if self._layout else None

    def userSettings(self) -> QSettings:
        return QSettings()

    settings = userSettings

    def testingEnabled(self) -> bool:
        return self._testing

    def mainWindow(self) -> Any:
        return slicer.util.mainWindow()

    def pauseRender(self) -> None:
        self._layout.pauseRender()

    def resumeRender(self) -> None:
        self._layout.resumeRender()

    def startupEnvironment(self) -> dict[str, str]:
        return dict(os.environ)

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"


class SceneFiles:
    """Reading and writing of whole scenes, for `slicer.util.saveScene` and `loadScene`."""

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any) -> bool:
        path = properties["fileName"]
        if path.endswith(".mrb"):
            return bool(slicer.mrmlScene.WriteToMRB(path, None, messages))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Commit())

    def loadNodes(self, kind: str, properties: dict[str, Any], nodes: Any, messages: Any) -> bool:
        path = properties["fileName"]
        if path.endswith(".mrb"):
            return bool(slicer.mrmlScene.ReadFromMRB(path, properties.get("clear", True), messages))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Connect())


class ModuleManager(QObject):
    """The modules that were loaded, by name."""

    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def load(self, name: str, path: Path) -> Module:
        """Load a scripted module as the application does at its start."""
        self._modules[name] = module = Module(name, path)
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.modules, name + "Instance", getattr(module.source, name)(module))
        return module


class Module:
    """`slicer.modules.<name>`: what a scripted module's class fills in."""

    title = helpText = acknowledgementText = ""
    icon: Any = None
    hidden = False

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, str(path)
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self.contributors: list[str] = []
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        self.source = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.source)
        self._representation: ModuleWidget | None = None

    def createNewWidgetRepresentation(self) -> ModuleWidget:
        return ModuleWidget(self.name)

    def widgetRepresentation(self) -> ModuleWidget:
        if self._representation is None:
            self._representation = self.createNewWidgetRepresentation()
        return self._representation

    def logic(self) -> Any:
        return None


class ModuleWidget(mrmlwidgets.qMRMLWidget):
    """The panel that holds a module's widget, and tells it when it is shown."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._entered = False
        QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)
        self._build()

    def _build(self) -> None:
        self._widget = getattr(sys.modules[self._name], self._name + "Widget")(self)
        setattr(slicer.modules, self._name + "Widget", self._widget)
        self._widget.setup()

    def self(self) -> Any:
        return self._widget

    def enter(self) -> None:
        self._entered = True
        getattr(self._widget, "enter", lambda: None)()

    def exit(self) -> None:
        self._entered = False
        getattr(self._widget, "exit", lambda: None)()

    def isEntered(self) -> bool:
        return self._entered

    def reload(self) -> None:
        self._build()


class ScriptedLoadableModule:
    """What a module's own class inherits."""

    def __init__(self, parent: Module) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        url = slicer.app.moduleDocumentationUrl(docPage or self.moduleName)
        return f'<p>For more information see the <a href="{url}">online documentation</a>.</p>'


class ScriptedLoadableModuleWidget:
    """What a module's widget inherits."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        """The reload buttons of the developer mode are not imitated."""

    def cleanup(self) -> None:
        """Nothing to clean up unless the module says so."""

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()


class ScriptedLoadableModuleLogic:
    """What a module's logic inherits."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = slicer.mrmlScene.AddNode(node)
        # Closing the scene takes the attribute away.
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """What a module's self-test inherits."""

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        slicer.util.delayDisplay(message, 50)

    def runTest(self) -> None:
        logging.warning("No test is defined in %s", type(self).__name__)


def _named(name: str, **names: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(names)
    return module


class Window(QMainWindow):
    """The main window: the module panel on the left, the views on the right."""

    def __init__(self, layout: LayoutManager) -> None:
        super().__init__()
        self.objectName, self.windowTitle = "qSlicerMainWindow", "3D Slicer (stand-in for tests)"
        self._panel = QScrollArea()
        self._panel.setWidgetResizable(True)
        self._panel.minimumWidth = 470
        dock = QDockWidget("Module")
        dock.setWidget(self._panel)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        self.setCentralWidget(layout.viewport())
        self.resize(1500, 1050)

    def setPanel(self, widget: Any) -> None:
        self._panel.setWidget(widget)


class SampleDataLogic:
    """Notes which samples were registered."""

    registered: list[dict[str, Any]] = []  # noqa: RUF012

    @classmethod
    def registerCustomSampleDataSource(cls, **source: Any) -> None:
        cls.registered.append(source)


def start(app: Application, folder: Path, patch: Any) -> Window:
    """Begin with an empty scene and a window, and put the modules where `import` finds them until the test ends."""
    base = (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic)
    scripted = {kind.__name__: kind for kind in (*base, ScriptedLoadableModuleTest)}
    made = {
        "qt": pythonqt.qt,
        "ctk": ctkwidgets,
        "SampleData": _named("SampleData", SampleDataLogic=SampleDataLogic),
        "slicer.ScriptedLoadableModule": _named(
            "slicer.ScriptedLoadableModule", __all__=list(scripted), **scripted
        ),
        "slicer.parameterNodeWrapper": parameters,
        "slicer.i18n": _named("slicer.i18n", tr=str, translate=lambda context, text: text),
        "slicer.packaging": _named("slicer.packaging"),
    }
    pythonqt.qt.QUiLoader = uiloader.QUiLoader
    for name, module in made.items():
        patch.setitem(sys.modules, name, module)
    layout = LayoutManager()
    names = {
        "app": app,
        "mrmlScene": layout.core().scene,
        "modules": types.SimpleNamespace(),
        "qSlicerScriptedLoadableModule": Module,
        "qSlicerScriptedLoadableModuleWidget": ModuleWidget,
    }
    names |= {name: getattr(mrmlwidgets, name) for name in vars(mrmlwidgets) if name.startswith("qMRML")}
    names |= {name.partition(".")[2]: module for name, module in made.items() if "." in name}
    for name, value in names.items():
        patch.setattr(slicer, name, value, raising=False)
    pythonqt.Dialogs.asked, pythonqt.Dialogs.answers = [], []
    app.begin(folder, layout)
    window = Window(layout)
    window.show()
    return window
