"""The fixture `host`: the stand-in for the desktop application, driven as a person drives it."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import slicer
    from Host.application import Application, ModulePanel, Window
    from PySide6.QtWidgets import QAbstractButton, QWidget

    from layoutviews import LayoutManager
    from MAESILSlicer import MAESILSlicerWidget

_TESTING = Path(__file__).resolve().parents[1]
MODULE = _TESTING.parent / "MAESILSlicer" / "MAESILSlicer.py"
_LIBRARY = "MAESILSlicerLib"
_OURS = ("MAESILCore", _LIBRARY)
sys.path.append(str(_TESTING))


class Host:
    """A running application.

    Attributes:
        app: `slicer.app`.
        window: the main window.
        scene: `slicer.mrmlScene`.
        dialogs: `asked`, what was asked in dialogs, and `answers`, to be laid ready for them.
        failures: what was raised where nobody could catch it, in slots and observers; fails the test at its end.
        widget: the module's Python widget, once the module was opened.
    """

    def __init__(self, app: Application, window: Window) -> None:
        from Host.pythonqt import Dialogs

        self.app, self.window, self.dialogs = app, window, Dialogs
        self.scene: slicer.vtkMRMLScene = app.layoutManager().core().scene
        self.failures: list[BaseException] = []
        self.widget: MAESILSlicerWidget | None = None
        self._panel: ModulePanel | None = None
        self._reloaded = False
        self._replaced: dict[str, ModuleType] = {}

    @property
    def ui(self) -> SimpleNamespace:
        """The module's widgets by name."""
        return self.widget.ui

    @property
    def logic(self) -> object:
        """The module's logic."""
        return self.widget.logic

    def open(self, path: Path = MODULE) -> MAESILSlicerWidget:
        """Load a module, show its panel in the window, and enter it."""
        module = self.app.loadModule(path)
        self.app.startupCompleted.emit()
        self._panel = module.widgetRepresentation()
        self.widget = self._panel.self()
        self.window.area().setWidget(self._panel)
        self.widget.enter()
        self.process()
        return self.widget

    def reload(self) -> MAESILSlicerWidget:
        """Press the Reload button of the developer mode."""
        self._reloaded = True
        self.widget.onReload()
        self.widget = self._panel.self()
        self.process()
        return self.widget

    def importAnew(self) -> None:
        """Forget MAESIL's modules, so that the module imports them as after the start of Slicer."""
        assert not self._replaced, "only once in a test"
        self._replaced = _loaded(*_OURS)
        for name in self._replaced:
            del sys.modules[name]

    def closeScene(self) -> None:
        """File > Close Scene."""
        self.scene.Clear(0)
        self.process()

    def process(self) -> None:
        """Let everything happen that waits to happen."""
        for _ in range(3):
            self.app.processEvents()

    def wait(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Run the event loop until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s"
            self.app.processEvents()
            time.sleep(0.01)
        self.process()

    def click(self, button: QAbstractButton) -> None:
        """Press a button as a person can: one that is enabled and on the screen."""
        self.scrollTo(button)
        assert button.isEnabled(), f"{button.name} cannot be pressed: {button.toolTip}"
        assert not button.visibleRegion().isEmpty(), f"{button.name} is not to be seen"
        button.click()
        self.process()

    def scrollTo(self, widget: QWidget) -> None:
        """Open the sections around a widget and scroll to it, as a person does to get there."""
        from Host.ctkwidgets import ctkCollapsibleButton, ctkCollapsibleGroupBox
        from PySide6.QtWidgets import QScrollArea

        around, areas = widget.parentWidget(), []
        while around is not None and around is not self.window:
            if isinstance(around, (ctkCollapsibleButton, ctkCollapsibleGroupBox)):
                around.collapsed = False
            if isinstance(around, QScrollArea):
                areas.append(around)
            around = around.parentWidget()
        self.process()
        for area in reversed(areas):
            area.ensureWidgetVisible(widget)
        self.process()

    def grab(self, path: Path | str) -> Path:
        """Draw the views and save a picture of the window."""
        self.process()
        for view in self.app.layoutManager().viewport().children():
            if hasattr(view, "forceRender") and view.visible:
                view.forceRender()
        self.process()
        assert self.window.grab().save(str(path)), f"{path} could not be written"
        return Path(path)

    def close(self) -> None:
        """End as the application does when its window is closed."""
        from PySide6.QtCore import QEvent

        if self.widget is not None:
            self.app.moduleAboutToBeUnloaded.emit(self.widget.moduleName)
        self.window.close()
        self.window.deleteLater()
        self.process()
        # Outside an event loop, Qt deletes nothing by itself.
        self.app.sendPostedEvents(None, QEvent.DeferredDelete)


def makeApplication() -> Application:
    """The one QApplication of a process; without a screen unless `QT_QPA_PLATFORM` names one."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    from Host.application import Application

    return Application()


@contextmanager
def opened(application: Application, folder: Path) -> Iterator[Host]:
    """An open window on an empty scene, closed at the end, which raises what nobody could catch meanwhile.

    Args:
        application: as `makeApplication` makes it.
        folder: for what is temporary, settings among it.
    """
    from freeing import spare_collections
    from Host.application import Window
    from Host.pythonqt import Dialogs

    from layoutviews import LayoutManager

    spare_collections()
    with pytest.MonkeyPatch.context() as patch:
        layout = LayoutManager()
        _bringAlong(patch, application, layout)
        Dialogs.asked = Dialogs.answers = ()
        application.start(folder, layout)
        window = Window(layout)
        window.show()
        host = Host(application, window)
        patch.setattr(sys, "excepthook", lambda kind, error, trace: host.failures.append(error))
        with _unchangedLibrary(host):
            yield host
            host.close()
        layout.close()
        if host.failures:
            raise host.failures[0]


@contextmanager
def _unchangedLibrary(host: Host) -> Iterator[None]:
    """Bring back MAESIL's modules and classes at the end: other tests hold those that were there before."""
    contents = {module: dict(vars(module)) for module in _loaded(_LIBRARY).values()}
    try:
        yield
    finally:
        # What was imported meanwhile holds the classes of the reload or of the modules imported anew.
        if host._reloaded:
            for name, module in _loaded(_LIBRARY).items():
                if module not in contents:
                    del sys.modules[name]
            for module, names in contents.items():
                vars(module).clear()
                vars(module).update(names)
        if host._replaced:
            for name in _loaded(*_OURS):
                del sys.modules[name]
            sys.modules.update(host._replaced)


def _loaded(*packages: str) -> dict[str, ModuleType]:
    """The loaded modules of these packages."""
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}


def _bringAlong(patch: pytest.MonkeyPatch, application: Application, layout: LayoutManager) -> None:
    """Have `import` and `slicer` find what the real application brings along."""
    import slicer
    from Host import ctkwidgets, mrmlwidgets, parameters, pythonqt, scripted
    from Host.application import Module, ModulePanel, QUiLoader

    modules = {
        "qt": pythonqt.qt,
        "ctk": ctkwidgets,
        "SampleData": _module("SampleData", SampleDataLogic=_SampleData()),
        "slicer.ScriptedLoadableModule": scripted,
        "slicer.parameterNodeWrapper": parameters,
        "slicer.i18n": _module("slicer.i18n", tr=str, translate=lambda context, text: text),
    }
    pythonqt.qt.QUiLoader = QUiLoader
    plots = slicer.vtkSlicerPlotsLogic()
    plots.SetMRMLApplicationLogic(layout.core().app_logic)
    plots.SetMRMLScene(layout.core().scene)
    names = {name: kind for name, kind in vars(mrmlwidgets).items() if name.startswith("qMRML")}
    names |= {name.partition(".")[2]: module for name, module in modules.items() if "." in name}
    names |= {
        "app": application,
        "mrmlScene": layout.core().scene,
        "modules": SimpleNamespace(
            plots=SimpleNamespace(logic=lambda: plots),
            volumerendering=SimpleNamespace(logic=lambda: layout.core().volume_rendering),
        ),
        "qSlicerScriptedLoadableModule": Module,
        "qSlicerScriptedLoadableModuleWidget": ModulePanel,
    }
    for name, module in modules.items():
        patch.setitem(sys.modules, name, module)
    for name, value in names.items():
        patch.setattr(slicer, name, value, raising=False)


class _SampleData:
    """What the module Sample Data offers, by category."""

    def __init__(self) -> None:
        self._sources: dict[str, list[SimpleNamespace]] = {}

    def sampleDataSourcesByCategory(self, category: str) -> list[SimpleNamespace]:
        return self._sources.setdefault(category, [])

    def registerCustomSampleDataSource(self, category: str, **source: object) -> None:
        self.sampleDataSourcesByCategory(category).append(SimpleNamespace(category=category, **source))


def _module(name: str, **names: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


@pytest.fixture(scope="session")
def hostApplication() -> Application:
    """The one QApplication of the test run."""
    if importlib.util.find_spec("PySide6") is None:
        pytest.skip("the module's window needs PySide6-Essentials")
    return makeApplication()


@pytest.fixture
def host(hostApplication: Application, tmp_path: Path) -> Iterator[Host]:
    """The stand-in for 3D Slicer: an open window, an empty scene; the module is opened by `host.open()`."""
    with opened(hostApplication, tmp_path) as running:
        yield running
