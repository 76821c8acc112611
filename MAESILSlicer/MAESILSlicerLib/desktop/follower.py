"""Brings the session in line with the parameter node, whoever has changed that: a slider, a script, a loaded scene."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.lattice import Mask
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import (
    NO_SUPERPATCH,
    MAESILSlicerParameterNode,
    MaskMode,
    displayOf,
    maskChoicesOf,
)
from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.session.session import Session

#: A dragged ROI is followed this often: snapping it to patches takes longer on a large volume than drawing a mask.
REGION_DELAY_MS = 100

_ROI_EVENTS = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLMarkupsNode.PointModifiedEvent)
_SEGMENTATION_EVENTS = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentRemoved,
)


class ParameterFollower:
    """Applies what differs between a parameter node and a session; many changes in one go count as one.

    Args:
        session: what is kept in line.

    Attributes:
        onApplied: called after every application; the window shows what has become of it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.onApplied: Callable[[], None] = lambda: None
        self._parameters: MAESILSlicerParameterNode | None = None
        self._node, self._region = Connections(), Connections()
        self._watched: tuple[slicer.vtkMRMLNode, slicer.vtkMRMLNode] | None = None
        self._problems: dict[str, str] = {}
        self._model: str | None = None
        self._mask: object = None
        self._display: OverlayDisplay | None = None
        self._highlight: int | None = None
        self._drawings = session.drawings
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self.applyNow)
        session.addListener(self._onSessionChanged)

    @property
    def problem(self) -> str:
        """One sentence why the choices cannot be followed, "" if they are."""
        return next(iter(self._problems.values()), "")

    @property
    def maskProblem(self) -> str:
        """One sentence why nothing is hidden, "" if something is."""
        return self._problems.get("mask", "")

    @property
    def modelProblem(self) -> str:
        """One sentence why the chosen model is not the one in use, "" if it is."""
        return self._problems.get("model", "")

    def follow(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Follow a parameter node from now on, in place of the one before; None follows nothing."""
        self._timer.stop()
        self._node.close()
        self._watchRegion(None)
        self._parameters = parameters
        if "model" in self._problems:
            # Nothing of it was used, and what was wrong with it may have been mended.
            self._model = None
        self._problems = {}
        self._mask = self._display = self._highlight = None
        if parameters is not None:
            self._node.observe(parameters, vtk.vtkCommand.ModifiedEvent, self._onModified)
            self.applyNow()

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
        self._session.removeListener(self._onSessionChanged)
        self._timer.disconnect("timeout()", self.applyNow)

    def _onModified(self, _caller: object, _event: str) -> None:
        self._timer.start(0)

    def _onSessionChanged(self) -> None:
        if self._session.drawings != self._drawings:
            self._timer.start(0)

    def _onRegionModified(self, _caller: object, _event: str) -> None:
        self._mask = None
        if not self._timer.active:
            self._timer.start(REGION_DELAY_MS)

    def applyNow(self) -> None:
        """Apply what has changed.

        A choice that cannot be applied becomes a `problem` and leaves the session as it was. Only the mask is cleared,
        because the mask before would be mistaken for the chosen one.
        """
        if self._parameters is None:
            return
        self._timer.stop()
        for part, apply in (
            ("model", self._applyModel),
            ("volume", self._applyVolume),
            ("mask", self._applyMask),
            ("display", self._applyDisplay),
            ("highlight", self._applyHighlight),
        ):
            try:
                apply(self._parameters)
            except MaesilError as error:
                self._problems[part] = str(error)
        self.onApplied()

    def _applyModel(self, parameters: MAESILSlicerParameterNode) -> None:
        if parameters.model == self._model:
            return
        self._model = parameters.model
        self._problems.pop("model", None)
        self._session.setModel(parameters.model or None)

    def _applyVolume(self, parameters: MAESILSlicerParameterNode) -> None:
        if parameters.inputVolume is not self._session.volumeNode:
            self._problems.pop("volume", None)
            self._session.setVolume(parameters.inputVolume)

    def _applyMask(self, parameters: MAESILSlicerParameterNode) -> None:
        if self._session.drawings != self._drawings:
            self._drawings = self._session.drawings
            # One that hides nothing is drawn again below, where it is refused.
            self._mask = None if _hidesNothing(self._session.mask) else self._session.choices
            self._display = self._highlight = None
            for part in ("mask", "display", "highlight"):
                self._problems.pop(part, None)
        region = _regionOf(parameters)
        self._watchRegion(region)
        wanted: object = maskChoicesOf(parameters)
        if parameters.mode.isRegion:
            wanted = (parameters.mode, region, _segmentIdOf(parameters))
        if wanted == self._mask:
            return
        self._mask = wanted
        self._problems.pop("mask", None)
        try:
            self._drawMask(parameters, region)
        except MaesilError:
            self._session.clearMask()
            raise

    def _drawMask(self, parameters: MAESILSlicerParameterNode, region: slicer.vtkMRMLNode | None) -> None:
        if not parameters.mode.isRegion:
            mask = self._session.setMask(maskChoicesOf(parameters))
            if _hidesNothing(mask):
                raise ConfigError(
                    _(
                        "These shares hide none of the volume's patches ({count}); "
                        "raise them, or choose a larger volume."
                    ).format(count=mask.stages.size)
                )
        elif region is None:
            raise ConfigError(
                _("Choose the segment to hide.")
                if parameters.mode is MaskMode.SEGMENT
                else _("Choose the ROI to hide, or create one.")
            )
        else:
            self._session.setRegion(region, _segmentIdOf(parameters) or None)

    def _applyDisplay(self, parameters: MAESILSlicerParameterNode) -> None:
        grid = self._session.grid
        if grid is None:
            return
        if parameters.superpatch >= len(grid):
            # Another volume, or another model: that superpatch is not there any more.
            parameters.superpatch = NO_SUPERPATCH
        display = displayOf(parameters)
        if display != self._display:
            self._display = display
            self._problems.pop("display", None)
            self._session.setDisplay(display)

    def _applyHighlight(self, parameters: MAESILSlicerParameterNode) -> None:
        if self._session.grid is not None and parameters.superpatch != self._highlight:
            self._highlight = parameters.superpatch
            self._problems.pop("highlight", None)
            chosen = None if parameters.superpatch == NO_SUPERPATCH else parameters.superpatch
            self._session.overlays.setHighlight(chosen)

    def _watchRegion(self, region: slicer.vtkMRMLNode | None) -> None:
        """Follow a region while it is moved or painted, or the volume is moved below it."""
        volume = self._session.volumeNode
        watched = None if region is None or volume is None else (region, volume)
        if watched == self._watched:
            return
        self._region.close()
        self._watched = watched
        if watched is None:
            return
        for node in watched:
            self._region.observe(
                node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._onRegionModified
            )
        if region.IsA("vtkMRMLSegmentationNode"):
            for event in _SEGMENTATION_EVENTS:
                self._region.observe(region.GetSegmentation(), event, self._onRegionModified)
        else:
            for event in _ROI_EVENTS:
                self._region.observe(region, event, self._onRegionModified)


def _regionOf(parameters: MAESILSlicerParameterNode) -> slicer.vtkMRMLNode | None:
    if parameters.mode is MaskMode.ROI:
        return parameters.roi
    return parameters.segmentation if _segmentIdOf(parameters) else None


def _segmentIdOf(parameters: MAESILSlicerParameterNode) -> str:
    return parameters.segmentId if parameters.mode is MaskMode.SEGMENT else ""


def _hidesNothing(mask: Mask | None) -> bool:
    """Not so where there is no volume to hide anything of."""
    return mask is not None and not mask.stages.any()
