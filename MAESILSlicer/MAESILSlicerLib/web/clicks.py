"""Clicks in the slice views of the page, as points of the scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trame_slicer.views import SliceView

#: Called with a point, in RAS of the scene, mm.
OnPoint = Callable[[tuple[float, float, float]], None]

_DOUBLE_CLICK_SECONDS, _DOUBLE_CLICK_PIXELS = 0.5, 4


def onPress(view: SliceView, callback: OnPoint) -> None:
    """Call `callback` with the point of each press of the left button in a slice view."""
    view.interactor().AddObserver("LeftButtonPressEvent", lambda *_: callback(_pointIn(view)))


def onDoubleClick(view: SliceView, callback: OnPoint) -> None:
    """Call `callback` with the point of each double click in a slice view.

    The browser sends presses only, so two presses close in time and place count as a double click.
    """
    last = (0.0, 0, 0)

    def pressed(interactor: object, _event: str) -> None:
        nonlocal last
        x, y = interactor.GetEventPosition()
        before, last = last, (time.monotonic(), x, y)
        isClose = max(abs(x - before[1]), abs(y - before[2])) <= _DOUBLE_CLICK_PIXELS
        if isClose and last[0] - before[0] <= _DOUBLE_CLICK_SECONDS:
            callback(_pointIn(view))

    view.interactor().AddObserver("LeftButtonPressEvent", pressed)


def _pointIn(view: SliceView) -> tuple[float, float, float]:
    """The point under the mouse."""
    x, y = view.interactor().GetEventPosition()
    r, a, s, _ = view.get_view_node().GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
    return r, a, s
