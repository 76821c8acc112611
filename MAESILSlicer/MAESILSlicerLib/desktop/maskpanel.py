"""Section "Superpatches and masks": the mask, its display and the outlined superpatch."""

from __future__ import annotations

import random
from collections.abc import Callable
from html import escape
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from MAESILCore.report.shading import STAGE_COLOURS
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import NO_SUPERPATCH, MAESILSlicerParameterNode, MaskMode
from MAESILSlicerLib.desktop.picker import SuperpatchPicker
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.scene.regions import placeRoi
from MAESILSlicerLib.session.session import Session


class MaskPanel:
    """Shows the widgets of the mode, counts hidden patches and steps through the superpatches.

    Args:
        ui: the window's widgets.
        session: the session to show.
        problem: returns why there is no mask; "" if there is one.
    """

    def __init__(self, ui: SimpleNamespace, session: Session, problem: Callable[[], str]) -> None:
        self._ui, self._session, self._problem = ui, session, problem
        self._parameters: MAESILSlicerParameterNode | None = None
        self._jumpedTo = NO_SUPERPATCH
        self._picker = SuperpatchPicker(session, self._choose)
        self._connections = Connections()
        self._connections.connect(ui.redrawButton, "clicked()", self._redraw)
        self._connections.connect(ui.pickButton, "toggled(bool)", self._picker.setActive)
        self._connections.connect(
            ui.segmentSelector, "currentNodeChanged(vtkMRMLNode*)", self._onSegmentation
        )
        self._connections.connect(ui.segmentSelector, "currentSegmentChanged(QString)", self._onSegment)
        self._connections.connect(ui.roiSelector, "nodeAddedByUser(vtkMRMLNode*)", self._placeRoi)

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Use another parameter node."""
        self._parameters = parameters
        if parameters is None:
            self._ui.pickButton.setChecked(False)
        else:
            self._jumpedTo = parameters.superpatch

    def refresh(self) -> None:
        """Show the parameters and the session."""
        if self._parameters is None:
            return
        self._showRows(self._parameters.mode)
        self._showSegment(self._parameters)
        self._showSuperpatch(self._parameters.superpatch)
        count = self._count()
        self._ui.maskInfoLabel.setText(count)
        self._ui.maskInfoLabel.setVisible(bool(count))

    def close(self) -> None:
        """Undo all connections."""
        self._picker.setActive(False)
        self._connections.close()

    def _showRows(self, mode: MaskMode) -> None:
        ui = self._ui
        for widgets, isShown in (
            ((ui.ratioLabel, ui.ratioSlider), not (mode.isRegion or mode.hasTwoStages)),
            ((ui.planeRatioLabel, ui.planeRatioSlider), mode.hasTwoStages),
            ((ui.axisRatioLabel, ui.axisRatioSlider), mode.hasTwoStages),
            ((ui.blockSizeLabel, ui.blockSizeSpinBox), mode is MaskMode.BLOCK),
            ((ui.roiLabel, ui.roiSelector), mode is MaskMode.ROI),
            ((ui.segmentLabel, ui.segmentSelector), mode is MaskMode.SEGMENT),
            ((ui.seedLabel, ui.seedSpinBox, ui.redrawButton), not mode.isRegion),
        ):
            for widget in widgets:
                widget.setVisible(isShown)

    def _count(self) -> str:
        mask = self._session.mask
        if mask is None:
            # The label shows rich text, and a node name may contain markup.
            return escape(translated(self._problem())) if self._session.grid is not None else ""
        hidden = len(mask.hidden_indices)
        count = _("{share:.1f} % hidden: {hidden} of {total} patches.").format(
            share=100 * mask.hidden_fraction, hidden=f"{hidden:,}", total=f"{mask.stages.size:,}"
        )
        if not mask.stages.any() or mask.stages.max() < 2:
            return count
        names = {1: _("first stage"), 2: _("second stage")}
        legend = " ".join(
            f'<font color="{STAGE_COLOURS[stage]}">\u25a0</font> {name}' for stage, name in names.items()
        )
        return f"{count}<br>{legend}"

    # Superpatches

    def _showSuperpatch(self, index: int) -> None:
        grid = self._session.grid
        hasOne = grid is not None and 0 <= index < len(grid)
        if grid is not None:
            # The maximum stays at or above the chosen value: the follower clears that, not the spin box.
            self._ui.superpatchSpinBox.setMaximum(max(len(grid) - 1, index))
        self._ui.superpatchSpinBox.setEnabled(grid is not None)
        self._ui.pickButton.setEnabled(grid is not None and self._picker.isPossible)
        self._ui.clipCheckBox.setEnabled(hasOne)
        self._ui.clipCheckBox.setToolTip(
            _("In 3D, show only the hidden patches of the chosen superpatch.")
            if hasOne
            else _("Choose a superpatch first.")
        )
        self._ui.superpatchSpinBox.suffix = f" ({self._session.overlays.labelOf(index)})" if hasOne else ""
        self._ui.superpatchInfoLabel.setVisible(hasOne)
        if not hasOne:
            self._jumpedTo = NO_SUPERPATCH
            return
        self._ui.superpatchInfoLabel.setText(self._describe(index))
        if index != self._jumpedTo:
            from MAESILSlicerLib.results.comparison import jumpTo

            self._jumpedTo = index
            jumpTo(slicer.mrmlScene, self._session.overlays.centerOf(index))

    def _describe(self, index: int) -> str:
        box = self._session.grid.box(index)
        patches = " x ".join(str(count) for count in reversed(box.shape))
        mask = self._session.mask
        share = 100 * mask.crop(box).hidden_fraction if mask is not None else 0.0
        return _("Superpatch {place} (i-j-k), {patches} patches, {share:.1f} % hidden.").format(
            place=self._session.overlays.labelOf(index), patches=patches, share=share
        )

    def _choose(self, index: int) -> None:
        if self._parameters is not None:
            # The views already show the clicked place.
            self._jumpedTo = index
            self._parameters.superpatch = index

    # Masks

    def _redraw(self) -> None:
        if self._parameters is not None:
            self._parameters.seed = random.randrange(self._ui.seedSpinBox.maximum + 1)

    def _showSegment(self, parameters: MAESILSlicerParameterNode) -> None:
        selector, segmentation = self._ui.segmentSelector, parameters.segmentation
        isThere = segmentation is not None and segmentation.GetSegmentation().GetSegment(parameters.segmentId)
        # The selector picks the first segment of a new segmentation by itself; that is not the user's choice.
        wasBlocked = selector.blockSignals(True)
        if selector.currentNode() is not segmentation:
            selector.setCurrentNode(segmentation)
        wanted = parameters.segmentId if isThere else ""
        if selector.currentSegmentID() != wanted:
            selector.setCurrentSegmentID(wanted)
        selector.blockSignals(wasBlocked)

    def _onSegmentation(self, node: slicer.vtkMRMLNode | None) -> None:
        if self._parameters is not None and node is not self._parameters.segmentation:
            self._parameters.segmentation = node

    def _onSegment(self, segmentId: str) -> None:
        if self._parameters is not None and segmentId != self._parameters.segmentId:
            self._parameters.segmentId = segmentId

    def _placeRoi(self, roiNode: slicer.vtkMRMLNode) -> None:
        """Place a new ROI inside the volume."""
        if self._session.volumeNode is None:
            return
        placeRoi(roiNode, self._session.volumeNode)
