"""Signals and events that are connected together and disconnected together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import vtk


class Connections:
    """Connections of one panel, so that none outlives it: a reload makes a new panel beside the old one."""

    def __init__(self) -> None:
        self._signals: list[tuple[Any, str, Callable[..., None]]] = []
        self._events: list[tuple[vtk.vtkObject, int]] = []

    def connect(self, widget: qt.QObject, signal: str, slot: Callable[..., None]) -> None:
        """Connect a signal, named with its arguments, such as `clicked()`."""
        widget.connect(signal, slot)
        self._signals.append((widget, signal, slot))

    def observe(
        self, observed: vtk.vtkObject, event: int, callback: Callable[..., None], priority: float = 0.0
    ) -> None:
        """Observe a VTK event; observers of a higher priority are called first."""
        self._events.append((observed, observed.AddObserver(event, callback, priority)))

    def close(self) -> None:
        """Undo everything."""
        for widget, signal, slot in self._signals:
            widget.disconnect(signal, slot)
        for observed, tag in self._events:
            observed.RemoveObserver(tag)
        self._signals, self._events = [], []
