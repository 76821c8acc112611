"""Applies the parameter node to the session after every change, by a widget, a script or a loaded scene."""

from __future__ import annotations

from collections.abc import Callable

import qt
import vtk

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import NO_SUPERPATCH, MAESILSlicerParameterNode, choicesOf
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.session import Session

#: Delay for a dragged ROI: on a large volume, snapping it to patches is slower than drawing a mask.
REGION_DELAY_MS = 100


class ParameterFollower:
    """Applies a parameter node to a session; changes within one event loop pass are applied together.

    Args:
        session: the session that receives the choices.

    Attributes:
        onApplied: called after each time the choices are applied.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.onApplied: Callable[[], None] = lambda: None
        self._parameters: MAESILSlicerParameterNode | None = None
        self._node = Connections()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self.applyNow)
        session.changed.connect(self._onMoved, "moved")
        session.changed.connect(self._onDisplay, "display")

    @property
    def problem(self) -> str:
        """One sentence why the choices cannot be applied; "" if they are."""
        return translated(str(self._session.problem or ""))

    def follow(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Follow this parameter node instead of the previous one; None follows none."""
        self._timer.stop()
        self._node.close()
        self._parameters = parameters
        if parameters is not None:
            self._node.observe(parameters, vtk.vtkCommand.ModifiedEvent, self._onModified)
            self.applyNow()

    def applyNow(self) -> None:
        """Apply pending changes now; a choice that cannot be applied sets `problem`."""
        if self._parameters is None:
            return
        self._timer.stop()
        self._session.apply(choicesOf(self._parameters))
        self._onDisplay()
        self.onApplied()

    def appliedMask(self) -> Mask:
        """The current mask.

        Raises:
            ConfigError: there is no mask, because the volume or a choice cannot be used; the message gives the reason.
        """
        problem = self._session.check.problem or self.problem
        if problem or self._session.mask is None:
            raise ConfigError(problem)
        return self._session.mask

    def close(self) -> None:
        """Stop following."""
        self.follow(None)
        self._session.changed.disconnect(self._onMoved)
        self._session.changed.disconnect(self._onDisplay)
        self._timer.disconnect("timeout()", self.applyNow)

    def _onModified(self, _caller: object, _event: str) -> None:
        self._timer.start(0)

    def _onMoved(self, _topics: frozenset[str]) -> None:
        if not self._timer.active:
            self._timer.start(REGION_DELAY_MS)

    def _onDisplay(self, _topics: frozenset[str] = frozenset()) -> None:
        """Clear a superpatch index in the parameter node that is out of range."""
        parameters, session = self._parameters, self._session
        if parameters is None or session.grid is None or "display" in session.problems:
            return
        applied = session.choices.superpatch
        if session.superpatch is None and applied is not None and parameters.superpatch == applied:
            parameters.superpatch = NO_SUPERPATCH
