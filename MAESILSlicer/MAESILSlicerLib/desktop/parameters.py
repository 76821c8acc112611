"""The study's choices, which are saved with the scene; what belongs to the computer is in `settings.py`."""

from __future__ import annotations

import enum
from typing import Annotated

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Minimum, WithinRange, parameterNodeWrapper

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.scene.rendering import PRESETS, USUAL_PRESET
from MAESILSlicerLib.session.choices import (
    COVERAGE_TITLES,
    LARGEST_COVERAGE,
    LARGEST_SEED,
    MODE_TITLES,
    REGION_MODES,
    USUAL_COVERAGE,
    Nothing,
    Region,
    StudyChoices,
)

#: What the spin box of superpatches holds when none is chosen.
NO_SUPERPATCH = -1

_DRAWN, _SHOWN = MaskStrategy(), OverlayDisplay()


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
        return _(MODE_TITLES[self.value])

    @property
    def isRegion(self) -> bool:
        """Whether the mask is made by hand, not drawn."""
        return self.value in REGION_MODES

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
        return _(COVERAGE_TITLES[self is Prediction.EVERY_PATCH])


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
    ratio: Annotated[float, WithinRange(0.05, 0.95)] = _DRAWN.ratio
    planeRatio: Annotated[float, WithinRange(0.0, 0.95)] = _DRAWN.plane_ratio
    axisRatio: Annotated[float, WithinRange(0.0, 0.95)] = _DRAWN.axis_ratio
    blockSize: Annotated[int, WithinRange(1, 8)] = _DRAWN.block_size
    planeAxis: str = _DRAWN.plane_axis
    seed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 0
    roi: slicer.vtkMRMLMarkupsROINode
    segmentation: slicer.vtkMRMLSegmentationNode
    segmentId: str = ""
    prediction: Prediction = Prediction.EVERY_PATCH
    maskCount: Annotated[int, WithinRange(1, LARGEST_COVERAGE)] = USUAL_COVERAGE
    model: str = ""
    scores: bool = True
    export: bool = False
    showGrid: bool = _SHOWN.grid
    showLabels: bool = _SHOWN.labels
    showMask2d: bool = _SHOWN.mask2d
    showMask3d: bool = _SHOWN.mask3d
    showOutlines: bool = _SHOWN.outline
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = _SHOWN.opacity
    superpatch: Annotated[int, Minimum(NO_SUPERPATCH)] = NO_SUPERPATCH
    clipToSuperpatch: bool = False
    showRendering: bool = False
    renderingPreset: RenderingPreset = RenderingPreset(USUAL_PRESET)


def choicesOf(parameters: MAESILSlicerParameterNode) -> StudyChoices:
    """What a parameter node asks the session for."""
    chosen = parameters.superpatch if parameters.superpatch != NO_SUPERPATCH else None
    strategy, region = _DRAWN, _regionOf(parameters)
    if region is None:
        try:
            strategy = MaskStrategy(
                parameters.mode.value,
                parameters.ratio,
                parameters.planeRatio,
                parameters.axisRatio,
                parameters.blockSize,
                parameters.planeAxis,
            )
        except ConfigError as error:
            region = Nothing(str(error))
    return StudyChoices(
        volume=parameters.inputVolume,
        model=parameters.model or None,
        strategy=strategy,
        seed=parameters.seed,
        region=region,
        display=OverlayDisplay(
            grid=parameters.showGrid,
            labels=parameters.showLabels,
            mask2d=parameters.showMask2d,
            mask3d=parameters.showMask3d,
            opacity=parameters.opacity,
            outline=parameters.showOutlines,
            clip=chosen if parameters.clipToSuperpatch else None,
        ),
        superpatch=chosen,
    )


def _regionOf(parameters: MAESILSlicerParameterNode) -> Region | Nothing | None:
    if parameters.mode is MaskMode.ROI:
        if parameters.roi is None:
            return Nothing(_("Choose the ROI to hide, or create one."))
        return Region(parameters.roi)
    if parameters.mode is MaskMode.SEGMENT:
        if parameters.segmentation is None or not parameters.segmentId:
            return Nothing(_("Choose the segment to hide."))
        return Region(parameters.segmentation, parameters.segmentId)
    return None


def coverageOf(parameters: MAESILSlicerParameterNode) -> int:
    """How many masks a reconstruction takes; 0 for the one that is shown, as always for a region."""
    if parameters.mode.isRegion or parameters.prediction is Prediction.SHOWN_MASK:
        return 0
    return parameters.maskCount
