"""The fixture `host`: the stand-in application with a fresh scene, ready to open the module in a window."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[2] / "MAESILSlicer" / "MAESILSlicer.py"


class Host:
    """A running application as tests use it.

    Attributes:
        app: `slicer.app`.
        window: the main window.
        scene: `slicer.mrmlScene`.
        dialogs: what was asked in dialogs, and the answers laid ready for them.
        failures: what was raised where nobody could catch it: in slots and observers.
        widget: the module's Python widget, once it was opened.
    """

    def __init__(self, app: Any, window: Any, dialogs: Any) -> None:
        self.app, self.window, self.dialogs = app, window, dialogs
        self.scene = app.layoutManager().core().scene
        self.failures: list[BaseException] = []
        self.widget: Any = None
        self._panel: Any = None

    @property
    def ui(self) -> Any:
        return self.widget.ui

    def open(self, path: Path = MODULE) -> Any:
        """Load a module, show its panel in the window and enter it; gives its Python widget."""
        module = self.app.moduleManager().load(path.stem, path)
        self._panel = module.widgetRepresentation()
        self.window.setPanel(self._panel)
        self._panel.enter()
        self.widget = self._panel.self()
        self.process()
        return self.widget

    def leave(self) -> None:
        """Switch to another module."""
        self._panel.exit()

    def enter(self) -> None:
        """Come back to the module."""
        self._panel.enter()

    def closeScene(self) -> None:
        """File > Close Scene."""
        self.scene.Clear(0)
        self.process()

    def process(self) -> None:
        """Let everything happen that waits to happen."""
        for _ in range(3):
            self.app.processEvents()
            self.app.sendPostedEvents()

    def wait(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        """Run the event loop until the condition holds; AssertionError when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s"
            self.app.processEvents()
            time.sleep(0.01)
        self.process()

    def click(self, widget: Any) -> None:
        """Press a button as a user does: only when it can be seen and is enabled."""
        assert widget.enabled, f"{widget.name} cannot be pressed: {widget.toolTip}"
        assert widget.isVisibleTo(self.window), f"{widget.name} is hidden"
        widget.click()
        self.process()

    def grab(self, path: Path | str) -> Path:
        """Draw the views and save a picture of the whole window."""
        self.process()
        self.app.layoutManager().renderAll()
        self.process()
        picture = self.window.grab()
        assert picture.save(str(path)), f"{path} could not be written"
        return Path(path)

    def close(self) -> None:
        """End the module as the application does when it is closed."""
        for name in list(sys.modules["slicer"].modules.__dict__):
            if name.endswith("Instance"):
                self.app.moduleManager().moduleAboutToBeUnloaded.emit(name.removesuffix("Instance"))
        self.window.close()
        self.window.deleteLater()
        self.process()


@pytest.fixture(scope="session")
def _application() -> Any:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from .application import Application

    return Application()


@pytest.fixture
def host(_application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The stand-in for 3D Slicer with an empty scene; what it raised unseen fails the test."""
    from . import application

    window = application.start(_application, tmp_path, monkeypatch)
    running = Host(_application, window, application.pythonqt.Dialogs)
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: running.failures.append(error))
    yield running
    running.close()
    if running.failures:
        raise running.failures[0]
