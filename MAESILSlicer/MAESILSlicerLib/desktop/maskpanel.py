"""Section "Superpatches and masks": the mask and the outlined superpatch."""

from __future__ import annotations

import random
from html import escape
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from MAESILCore.report.shading import STAGE_COLOURS
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.parameters import NO_SUPERPATCH, MAESILSlicerParameterNode, MaskMode
from MAESILSlicerLib.desktop.picker import SlicePicker
from MAESILSlicerLib.scene.regions import placeRoi

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window


class MaskPanel(Panel):
    """Shows the widgets of the mode, counts hidden patches and steps through the superpatches."""

    uiFile = "Masks.ui"
    topics = frozenset({"volume", "model", "mask", "display", "choices"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._jumpedTo = NO_SUPERPATCH
        self._picker = SlicePicker(self._chooseAt)
        ui = self._ui
        ui.roiSelector.setMRMLScene(slicer.mrmlScene)
        ui.segmentSelector.setMRMLScene(slicer.mrmlScene)
        self.connect(ui.redrawButton, "clicked()", self._redraw)
        self.connect(ui.pickButton, "toggled(bool)", self._onPick)
        self.connect(ui.segmentSelector, "currentNodeChanged(vtkMRMLNode*)", self._onSegmentation)
        self.connect(ui.segmentSelector, "currentSegmentChanged(QString)", self._onSegment)
        self.connect(ui.roiSelector, "nodeAddedByUser(vtkMRMLNode*)", self._placeRoi)

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Use another parameter node; None for none."""
        super().setParameters(parameters)
        if parameters is None:
            self._ui.pickButton.setChecked(False)
        else:
            self._jumpedTo = parameters.superpatch

    def refresh(self) -> None:
        """Show the parameters and the session."""
        ui, parameters = self._ui, self._parameters
        self.allow(ui.maskSection, unless=self._session.check.problem or "")
        if parameters is None:
            return
        self._showRows(parameters.mode)
        self._showSegment(parameters)
        self._showSuperpatch(parameters.superpatch)
        count = self._count()
        ui.maskInfoLabel.setText(count)
        ui.maskInfoLabel.setVisible(bool(count))

    def close(self) -> None:
        """Undo all connections."""
        self._picker.setActive(False)
        super().close()

    def _showRows(self, mode: MaskMode) -> None:
        ui, noMask = self._ui, self._window.noMask
        for widgets, isShown in (
            ((ui.modeLabel, ui.modeComboBox), True),
            ((ui.ratioLabel, ui.ratioSlider), not (mode.isRegion or mode.hasTwoStages)),
            ((ui.planeRatioLabel, ui.planeRatioSlider), mode.hasTwoStages),
            ((ui.axisRatioLabel, ui.axisRatioSlider), mode.hasTwoStages),
            ((ui.blockSizeLabel, ui.blockSizeSpinBox), mode is MaskMode.BLOCK),
            ((ui.roiLabel, ui.roiSelector), mode is MaskMode.ROI),
            ((ui.segmentLabel, ui.segmentSelector), mode is MaskMode.SEGMENT),
            ((ui.seedLabel, ui.seedSpinBox, ui.redrawButton), not mode.isRegion),
        ):
            self.allow(*widgets, unless=noMask)
            for widget in widgets:
                widget.setVisible(isShown)

    def _count(self) -> str:
        """The text below the mask's widgets, as rich text."""
        mask = self._session.mask
        if mask is None or self._window.noMask:
            # A node name may contain markup.
            return escape(self._window.noMask or self._problemOf("mask")) if self._session.grid else ""
        count = _("{share:.1f} % hidden: {hidden} of {total} patches.").format(
            share=100 * mask.hidden_fraction,
            hidden=f"{len(mask.hidden_indices):,}",
            total=f"{mask.stages.size:,}",
        )
        if mask.stages.max() < 2:
            return count
        names = {1: _("first stage"), 2: _("second stage")}
        legend = " ".join(
            f'<font color="{STAGE_COLOURS[stage]}">\u25a0</font> {name}' for stage, name in names.items()
        )
        return f"{count}<br>{legend}"

    # Superpatches

    def _onPick(self, isPicking: bool) -> None:
        self._picker.setActive(isPicking)
        if isPicking:
            # A click has one meaning.
            self._ui.featurePickButton.setChecked(False)

    def _showSuperpatch(self, index: int) -> None:
        ui, grid = self._ui, self._session.grid
        hasOne = grid is not None and 0 <= index < len(grid)
        if grid is not None:
            # The maximum stays at or above the chosen value: the follower clears that, not the spin box.
            ui.superpatchSpinBox.setMaximum(max(len(grid) - 1, index))
        ui.superpatchSpinBox.setEnabled(grid is not None)
        ui.pickButton.setEnabled(grid is not None and self._picker.isPossible)
        self.allow(ui.clipCheckBox, unless="" if hasOne else _("Choose a superpatch first."))
        ui.superpatchSpinBox.suffix = f" ({self._session.overlays.labelOf(index)})" if hasOne else ""
        ui.superpatchInfoLabel.setVisible(hasOne)
        if not hasOne:
            self._jumpedTo = NO_SUPERPATCH
            return
        ui.superpatchInfoLabel.setText(self._describe(index))
        if index != self._jumpedTo:
            from MAESILSlicerLib.results.comparison import jumpTo

            self._jumpedTo = index
            jumpTo(slicer.mrmlScene, self._session.overlays.centerOf(index))

    def _describe(self, index: int) -> str:
        box, mask = self._session.grid.box(index), self._session.mask
        return _("Superpatch {place} (i-j-k), {patches} patches, {share:.1f} % hidden.").format(
            place=self._session.overlays.labelOf(index),
            patches=" x ".join(str(count) for count in reversed(box.shape)),
            share=100 * mask.crop(box).hidden_fraction if mask is not None else 0.0,
        )

    def _chooseAt(self, ras: tuple[float, float, float]) -> None:
        index = self._session.overlays.superpatchAt(ras)
        if self._parameters is not None and index is not None:
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
        if self._session.volumeNode is not None:
            placeRoi(roiNode, self._session.volumeNode)
