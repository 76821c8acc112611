"""The study's choices, saved with the scene; `settings.py` holds the settings of the computer."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Minimum, WithinRange, parameterNodeWrapper

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILSlicerLib.desktop.sentences import translated
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
from MAESILSlicerLib.session.features import COLOURS, LAYER_TITLES, NOTHING, SIMILARITY, FeatureDisplay

if TYPE_CHECKING:
    from MAESILSlicerLib.session.models import ModelInfo

#: Value of the superpatch spin box for no superpatch.
NO_SUPERPATCH = -1

#: Value of the level for the deepest one, whichever the model has.
DEEPEST = -1

_DRAWN, _SHOWN, _FEATURES = MaskStrategy(), OverlayDisplay(), FeatureDisplay()


class MaskMode(enum.Enum):
    """How the mask is made. Scenes store the member names: never rename one."""

    NESTED = "nested"
    RANDOM = "random"
    BLOCK = "block"
    PLANE = "plane"
    AXIS = "axis"
    PRODUCT = "product"
    ROI = "roi"
    SEGMENT = "segment"

    def label(self) -> str:
        """Display name of the mode."""
        return translated(MODE_TITLES[self.value])

    @property
    def isRegion(self) -> bool:
        """Whether the mask is a region made by hand."""
        return self.value in REGION_MODES

    @property
    def hasTwoStages(self) -> bool:
        """Whether the mask has two stages, each with its own share."""
        return self in (MaskMode.NESTED, MaskMode.PRODUCT)


class Prediction(enum.Enum):
    """The patches that the model predicts. Scenes store the member names: never rename one."""

    EVERY_PATCH = "every patch"
    SHOWN_MASK = "shown mask"

    def label(self) -> str:
        """Display name of the choice."""
        return translated(COVERAGE_TITLES[self is Prediction.EVERY_PATCH])


class FeatureLayer(enum.Enum):
    """What the slices show over the volume. Scenes store the member names: never rename one."""

    NOTHING = NOTHING
    COLOURS = COLOURS
    SIMILARITY = SIMILARITY

    def label(self) -> str:
        """Display name of the layer."""
        return translated(LAYER_TITLES[self.value])


class RenderingPreset(enum.Enum):
    """Appearance of the volume rendering. Scenes store the member names: never rename one."""

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
        """Display name of the preset."""
        return translated(PRESETS[self.value])


@parameterNodeWrapper
class MAESILSlicerParameterNode:
    """The choices of a study.

    Attributes:
        inputVolume: the CT.
        mode: how the mask is made.
        ratio: hidden share of the one-stage modes.
        planeRatio: hidden share of the first stage of the two-stage modes.
        axisRatio: hidden share of the second stage of the two-stage modes.
        blockSize: edge of a block, in patches.
        planeAxis: the axis along which the planes of plane, nested and product are stacked: k, j or i.
        seed: the mask's seed.
        roi: the region of mode `ROI`.
        segmentation: the segmentation of mode `SEGMENT`.
        segmentId: the segment of mode `SEGMENT`.
        prediction: predict every patch, or only those of the shown mask.
        maskCount: number of masks if every patch is predicted.
        model: a checkpoint's path or a bundled model's name; "" is the default.
        window: HU in which the model predicts, such as "-175 250"; "" is the model's own.
        scores: whether to compute PSNR, SSIM and other scores.
        export: whether to write files and a report.
        showGrid: show borders of the superpatches.
        showLabels: show the places i-j-k of the superpatches.
        showMask2d: show hidden patches in the slices.
        showMask3d: show hidden patches as cubes in 3D.
        showOutlines: show borders of hidden patches.
        opacity: opacity of the mask, 0 to 1.
        superpatch: index of the outlined superpatch; `NO_SUPERPATCH` for none.
        clipToSuperpatch: show the cubes of the outlined superpatch only.
        showRendering: render the volume in 3D.
        renderingPreset: appearance of the rendering.
        featureModel: the model of the features, like `model`; "" is the same model.
        featureLevel: index of the model's level; `DEEPEST` for the deepest.
        featureLayer: what the slices show over the volume, once it has features.
        featureOpacity: opacity of that, 0 to 1.
        featureThreshold: least similarity that is shown, 0 to 1.
        segmentModel: run folder or checkpoint of a segmentation training; "" is the newest run.
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
    window: str = ""
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
    featureModel: str = ""
    featureLevel: Annotated[int, Minimum(DEEPEST)] = DEEPEST
    featureLayer: FeatureLayer = FeatureLayer(_FEATURES.layer)
    featureOpacity: Annotated[float, WithinRange(0.0, 1.0)] = _FEATURES.opacity
    featureThreshold: Annotated[float, WithinRange(0.0, 1.0)] = _FEATURES.threshold
    segmentModel: str = ""


def choicesOf(parameters: MAESILSlicerParameterNode) -> StudyChoices:
    """The choices of a parameter node, for `Session.apply`."""
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


def featureDisplayOf(parameters: MAESILSlicerParameterNode) -> FeatureDisplay:
    """What a parameter node shows of features."""
    return FeatureDisplay(
        parameters.featureLayer.value, parameters.featureOpacity, parameters.featureThreshold
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
    """The number of masks of a reconstruction; 0 is the shown mask, as always for a region."""
    if parameters.mode.isRegion or parameters.prediction is Prediction.SHOWN_MASK:
        return 0
    return parameters.maskCount


def windowText(window: tuple[float, float]) -> str:
    """A window as a parameter node holds it."""
    return f"{window[0]:g} {window[1]:g}"


def windowOf(parameters: MAESILSlicerParameterNode, model: ModelInfo) -> tuple[float, float] | None:
    """The chosen window if the model was trained in it; None is the model's own."""
    return next((one for one in model.windows if windowText(one) == parameters.window), None)
