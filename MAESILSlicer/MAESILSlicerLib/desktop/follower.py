"""Brings the session in line with the parameter node, no matter what has changed it: a slider, a script, a scene."""

from __future__ import annotations

from collections.abc import Callable

import qt
import vtk
from slicer.i18n import tr as _

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.lattice import Mask
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import NO_SUPERPATCH, MAESILSlicerParameterNode, choicesOf
from MAESILSlicerLib.session.choices import NothingHidden
from MAESILSlicerLib.session.session import Session

#: A dragged ROI is followed this often: snapping it to patches takes longer on a large volume than drawing a mask.
REGION_DELAY_MS = 100


class ParameterFollower:
    """Has a session apply a parameter node; many changes in one go count as one.

    Args:
        session: what is kept in line.

    Attributes:
        onApplied: called after every application; the window shows what has become of it.
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
        """One sentence why the choices cannot be followed, "" if they are."""
        return _sentenceOf(self._session.problem)

    @property
    def maskProblem(self) -> str:
        """One sentence why nothing is hidden, "" if something is."""
        return _sentenceOf(self._session.problems.get("mask"))

    @property
    def modelProblem(self) -> str:
        """One sentence why the chosen model is not the one in use, "" if it is."""
        return _sentenceOf(self._session.problems.get("model"))

    def follow(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Follow a parameter node from now on, in place of the one before; None follows nothing."""
        self._timer.stop()
        self._node.close()
        self._parameters = parameters
        if parameters is not None:
            self._node.observe(parameters, vtk.vtkCommand.ModifiedEvent, self._onModified)
            self.applyNow()

    def applyNow(self) -> None:
        """Apply what has changed; a choice that cannot be applied is a `problem`."""
        if self._parameters is None:
            return
        self._timer.stop()
        self._session.apply(choicesOf(self._parameters))
        self._onDisplay()
        self.onApplied()

    def appliedMask(self) -> Mask:
        """The mask that is shown now.

        Raises:
            ConfigError: none is, because the volume or a choice cannot be used; the message says why.
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
        """Take a superpatch that the volume does not have out of the parameter node."""
        parameters, session = self._parameters, self._session
        if parameters is None or session.grid is None or "display" in session.problems:
            return
        applied = session.choices.superpatch
        if session.superpatch is None and applied is not None and parameters.superpatch == applied:
            parameters.superpatch = NO_SUPERPATCH


def _sentenceOf(problem: MaesilError | None) -> str:
    if isinstance(problem, NothingHidden):
        return _(
            "These shares hide none of the volume's patches ({count}); raise them, or choose a larger volume."
        ).format(count=problem.count)
    return str(problem or "")
