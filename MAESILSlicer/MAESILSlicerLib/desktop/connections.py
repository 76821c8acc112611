"""Connections to signals and events that are undone together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import vtk


class Connections:
    """The connections of one panel. Close them with the panel, because a reload creates a second panel."""

    def __init__(self) -> None:
        self._signals: list[tuple[Any, str, Callable[..., None]]] = []
        self._events: list[tuple[vtk.vtkObject, int]] = []

    def connect(self, widget: qt.QObject, signal: str, slot: Callable[..., None]) -> None:
        """Connect a signal; its name includes the arguments, such as `clicked()`."""
        widget.connect(signal, slot)
        self._signals.append((widget, signal, slot))

    def observe(
        self, observed: vtk.vtkObject, event: int, callback: Callable[..., None], priority: float = 0.0
    ) -> None:
        """Observe a VTK event; observers with a higher priority are called first."""
        self._events.append((observed, observed.AddObserver(event, callback, priority)))

    def close(self) -> None:
        """Undo all connections."""
        for widget, signal, slot in self._signals:
            widget.disconnect(signal, slot)
        for observed, tag in self._events:
            observed.RemoveObserver(tag)
        self._signals, self._events = [], []
