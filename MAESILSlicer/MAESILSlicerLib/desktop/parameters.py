"""The study's choices, which are saved with the scene; what belongs to the computer is in `settings.py`."""

from __future__ import annotations

import enum
from typing import Annotated

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Minimum, WithinRange, parameterNodeWrapper

from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.scene.rendering import PRESETS, USUAL_PRESET
from MAESILSlicerLib.session.choices import USUAL_COVERAGE, MaskChoices

#: What the spin box of superpatches holds when none is chosen.
NO_SUPERPATCH = -1


class MaskMode(enum.Enum):
    """What is hidden. Scenes keep the members' names: add some, rename none."""

    NESTED = "nested"
    RANDOM = "random"
    BLOCK = "block"
    PLANE = "plane"
    AXIS = "axis"
    PRODUCT = "product"
    ROI = "roi"
    SEGMENT = "segment"

    def label(self) -> str:
        """How the mode is called in the window."""
        return {
            MaskMode.NESTED: _("Two stages (nested)"),
            MaskMode.RANDOM: _("Single patches at random"),
            MaskMode.BLOCK: _("Blocks of patches"),
            MaskMode.PLANE: _("Whole planes"),
            MaskMode.AXIS: _("Whole columns"),
            MaskMode.PRODUCT: _("Planes and columns"),
            MaskMode.ROI: _("A region (ROI)"),
            MaskMode.SEGMENT: _("A segment"),
        }[self]

    @property
    def isRegion(self) -> bool:
        """Whether the mask is made by hand, not drawn."""
        return self in (MaskMode.ROI, MaskMode.SEGMENT)

    @property
    def hasTwoStages(self) -> bool:
        """Whether two shares describe the mask."""
        return self in (MaskMode.NESTED, MaskMode.PRODUCT)


class Prediction(enum.Enum):
    """Which patches the model predicts. Scenes keep the members' names: add some, rename none."""

    EVERY_PATCH = "every patch"
    SHOWN_MASK = "shown mask"

    def label(self) -> str:
        """How the choice is called in the window."""
        if self is Prediction.EVERY_PATCH:
            return _("Cover all patches")
        return _("Only the mask shown")


class RenderingPreset(enum.Enum):
    """How the volume rendering looks. Scenes keep the members' names: add some, rename none."""

    CHEST_CONTRAST_ENHANCED = "CT-Chest-Contrast-Enhanced"
    BONES = "CT-Bones"
    AAA = "CT-AAA"
    MUSCLE = "CT-Muscle"
    LUNG = "CT-Lung"
    PULMONARY_ARTERIES = "CT-Pulmonary-Arteries"
    CARDIAC = "CT-Cardiac3"
    SOFT_TISSUE = "CT-Soft-Tissue"
    AIR = "CT-Air"
    MIP = "CT-MIP"
    XRAY = "CT-X-ray"

    def label(self) -> str:
        """How the preset is called in the window."""
        return _(PRESETS[self.value])


@parameterNodeWrapper
class MAESILSlicerParameterNode:
    """Everything a person chooses for a study.

    Attributes:
        inputVolume: the CT.
        mode: what is hidden.
        ratio: hidden share of the one-stage modes.
        planeRatio: hidden share of the first stage of the two-stage modes.
        axisRatio: hidden share of their second stage.
        blockSize: patches of a block's edge.
        planeAxis: the axis along which the planes of plane, nested and product are stacked: k, j or i.
        seed: of the mask.
        roi: the region of mode `ROI`.
        segmentation: that of mode `SEGMENT`.
        segmentId: in the segmentation.
        prediction: every patch, or the mask that is shown.
        maskCount: masks that together hide every patch, when every patch is predicted.
        model: a checkpoint's path or a bundled model's name; "" is the default.
        scores: whether PSNR, SSIM and the like are measured.
        export: whether files and a report are written.
        showGrid: borders of the superpatches.
        showLabels: their places i-j-k.
        showMask2d: hidden patches in the slices.
        showMask3d: hidden patches as cubes.
        showOutlines: borders of hidden patches.
        opacity: of the mask.
        superpatch: the outlined one, `NO_SUPERPATCH` for none.
        clipToSuperpatch: whether the cubes of that superpatch alone are shown.
        showRendering: whether the volume is rendered in 3D.
        renderingPreset: how that looks.
    """

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    mode: MaskMode = MaskMode.NESTED
    ratio: Annotated[float, WithinRange(0.05, 0.95)] = 0.75
    planeRatio: Annotated[float, WithinRange(0.0, 0.95)] = 0.5
    axisRatio: Annotated[float, WithinRange(0.0, 0.95)] = 0.5
    blockSize: Annotated[int, WithinRange(1, 8)] = 2
    planeAxis: str = "k"
    seed: Annotated[int, WithinRange(0, 999999)] = 0
    roi: slicer.vtkMRMLMarkupsROINode
    segmentation: slicer.vtkMRMLSegmentationNode
    segmentId: str = ""
    prediction: Prediction = Prediction.EVERY_PATCH
    maskCount: Annotated[int, WithinRange(1, 16)] = USUAL_COVERAGE
    model: str = ""
    scores: bool = True
    export: bool = False
    showGrid: bool = True
    showLabels: bool = True
    showMask2d: bool = True
    showMask3d: bool = True
    showOutlines: bool = True
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.35
    superpatch: Annotated[int, Minimum(NO_SUPERPATCH)] = NO_SUPERPATCH
    clipToSuperpatch: bool = False
    showRendering: bool = False
    renderingPreset: RenderingPreset = RenderingPreset(USUAL_PRESET)


def maskChoicesOf(parameters: MAESILSlicerParameterNode) -> MaskChoices:
    """How the mask is drawn; not for a region."""
    return MaskChoices(
        mode=parameters.mode.value,
        ratio=parameters.ratio,
        planeRatio=parameters.planeRatio,
        axisRatio=parameters.axisRatio,
        blockSize=parameters.blockSize,
        seed=parameters.seed,
    )


def displayOf(parameters: MAESILSlicerParameterNode) -> OverlayDisplay:
    """What of grid and mask is seen, and how."""
    chosen = parameters.superpatch if parameters.superpatch != NO_SUPERPATCH else None
    return OverlayDisplay(
        grid=parameters.showGrid,
        labels=parameters.showLabels,
        mask2d=parameters.showMask2d,
        mask3d=parameters.showMask3d,
        opacity=parameters.opacity,
        outline=parameters.showOutlines,
        clip=chosen if parameters.clipToSuperpatch else None,
    )


def coverageOf(parameters: MAESILSlicerParameterNode) -> int:
    """How many masks a reconstruction takes; 0 for the one that is shown, as always for a region."""
    if parameters.mode.isRegion or parameters.prediction is Prediction.SHOWN_MASK:
        return 0
    return parameters.maskCount
