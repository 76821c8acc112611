"""The base class of the window's panels."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer

from MAESILSlicerLib import paths
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window
    from MAESILSlicerLib.session.session import Session


class Panel:
    """Shows a part of the session with the widgets of one `.ui` file.

    Args:
        window: the window that shows the panel. Its `notify` shows a sentence, its `schedule` refreshes panels.

    Attributes:
        uiFile: the panel's file in `Resources/UI`.
        topics: the panel is refreshed when one of these changes: a topic of the session, "choices" (the parameter
            node), "system" (the system check) or "layout" (the views and the sections).
    """

    uiFile: str
    topics: frozenset[str]

    def __init__(self, window: Window) -> None:
        self._window = window
        self._ui: SimpleNamespace = window.ui
        self._session: Session = window.study.session
        self._parameters: MAESILSlicerParameterNode | None = None
        self._connections = Connections()
        self._toolTips: dict[str, str] = {}
        panel = slicer.util.loadUI(str(paths.resource("UI", self.uiFile)))
        sections = self._ui.scrollAreaContents.layout()
        # The last item is a spacer.
        sections.insertWidget(sections.count() - 1, panel)
        vars(self._ui).update(vars(slicer.util.childWidgetVariables(panel)))

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Use another parameter node; None for none."""
        self._parameters = parameters

    def enter(self) -> None:
        """Called when the module is opened."""

    def leave(self) -> None:
        """Called when another module is opened, while the parameter node is still set."""

    def refresh(self) -> None:
        """Show the current state."""
        raise NotImplementedError

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()

    def connect(self, widget: qt.QObject, signal: str, slot: Callable[..., None]) -> None:
        """Connect a signal until the panel is closed; its name includes the arguments, such as `clicked()`."""
        self._connections.connect(widget, signal, slot)

    def allow(self, *widgets: qt.QWidget, unless: str) -> None:
        """Enable widgets, or disable them with the reason `unless` as tool tip; "" is no reason."""
        for widget in widgets:
            purpose = self._toolTips.setdefault(widget.name, widget.toolTip)
            widget.setEnabled(not unless)
            widget.setToolTip(translated(unless) or purpose)

    def _running(self) -> str:
        """Why a running job forbids a change, as a sentence; "" if none runs."""
        task = self._session.task
        return "" if task is None else translated(sentence("study.running", job=task.noun))

    def _problemOf(self, part: str) -> str:
        """Why a part of the choices cannot be applied, by its name in `Session.problems`; "" if it can."""
        return translated(str(self._session.problems.get(part) or ""))
