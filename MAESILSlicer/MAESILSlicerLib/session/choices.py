"""The user's choices as frozen values; every face builds them and passes them to `Session.apply`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import slicer

from MAESILCore.lattice import MaskStrategy
from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.session.wording import TEXTS, sentence

#: Display names by the mode of `MAESILCore.lattice.MaskStrategy` or by the kind of region.
MODE_TITLES = TEXTS.titles("mode")
#: The modes whose mask is a region made by hand; the others draw a random mask.
REGION_MODES = ("roi", "segment")

#: Largest seed that faces offer: still short enough to read and type.
LARGEST_SEED = 999_999

#: Default number of masks of a coverage; with the default ratios it hides every patch at least twice.
USUAL_COVERAGE = 4
#: Largest coverage that faces offer; more masks take longer and hardly change the mean.
LARGEST_COVERAGE = 16
#: Display names, keyed by whether the reconstruction is a coverage.
COVERAGE_TITLES = {False: sentence("coverage.mask"), True: sentence("coverage.all")}


@dataclass(frozen=True)
class Region:
    """A hidden region made by hand.

    Attributes:
        node: a vtkMRMLMarkupsROINode or a vtkMRMLSegmentationNode.
        segmentId: the segment's ID if `node` is a segmentation.
    """

    node: slicer.vtkMRMLNode
    segmentId: str = ""


@dataclass(frozen=True)
class Nothing:
    """An empty region: the chosen one cannot be hidden.

    Attributes:
        reason: a sentence for the user; "" for none.
    """

    reason: str = ""


@dataclass(frozen=True)
class StudyChoices:
    """The choices that define the view of a study before its reconstruction.

    Attributes:
        volume: the CT.
        model: a checkpoint's path or a bundled model's name; None is the default.
        strategy: the strategy that draws masks.
        seed: the mask's seed; the same seed gives the same mask on every machine.
        region: the region to hide; None draws a mask by `strategy` instead.
        display: appearance of grid and mask.
        superpatch: index of the outlined superpatch; None, or an index out of range, outlines none.
    """

    volume: slicer.vtkMRMLScalarVolumeNode | None = None
    model: str | Path | None = None
    strategy: MaskStrategy = field(default_factory=MaskStrategy)
    seed: int = 0
    region: Region | Nothing | None = None
    display: OverlayDisplay = field(default_factory=OverlayDisplay)
    superpatch: int | None = None


@dataclass(frozen=True)
class ReconstructionChoices:
    """The settings of a reconstruction.

    Attributes:
        coverage: number of masks that together hide every patch; 0 uses the shown mask alone.
        device: auto, cpu, cuda:N or mps.
        batchSize: superpatches per forward pass; None chooses by the device.
        overlap: voxels shared by neighbouring superpatches; None is `usual_overlap`.
        window: HU in which the model predicts, a key of `ModelInfo.windows`; None is the model's own.
        scores: whether to compute PSNR, SSIM and other scores; slow on a large volume.
        export: whether to write files for other programs and a report as well.
        controls: names of the controls to score as well; for a single mask only.
    """

    coverage: int = USUAL_COVERAGE
    device: str = "auto"
    batchSize: int | None = None
    overlap: int | None = None
    window: tuple[float, float] | None = None
    scores: bool = True
    export: bool = False
    controls: tuple[str, ...] = ()
