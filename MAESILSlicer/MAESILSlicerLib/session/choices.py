"""What a person chooses: one frozen value for all faces, which build it and hand it to `Session.apply`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILSlicerLib.overlays.overlays import OverlayDisplay

#: What is hidden, by the mode of `MAESILCore.lattice.MaskStrategy` or the kind of region, for people.
MODE_TITLES = {
    "nested": "Two stages (nested)",
    "random": "Single patches at random",
    "block": "Blocks of patches",
    "plane": "Whole planes",
    "axis": "Whole columns",
    "product": "Planes and columns",
    "roi": "A region (ROI)",
    "segment": "A segment",
}
#: The modes that hide a region, which is made by hand and not drawn.
REGION_MODES = ("roi", "segment")

#: Faces offer seeds up to this one, which a person can still read and type.
LARGEST_SEED = 999_999

#: Masks of a coverage in which every patch is hidden at least twice with the default ratios.
USUAL_COVERAGE = 4
#: Faces offer coverages up to this one; more masks take longer and change the mean by little.
LARGEST_COVERAGE = 16
#: What a reconstruction predicts, for people, by whether that is a coverage.
COVERAGE_TITLES = {False: "Only the mask shown", True: "Cover all patches"}


@dataclass(frozen=True)
class Region:
    """What is hidden by hand.

    Attributes:
        node: a vtkMRMLMarkupsROINode or a vtkMRMLSegmentationNode.
        segmentId: of a segmentation.
    """

    node: slicer.vtkMRMLNode
    segmentId: str = ""


@dataclass(frozen=True)
class Nothing:
    """Nothing is hidden, since what was chosen cannot be.

    Attributes:
        reason: a sentence for people; "" if none is needed.
    """

    reason: str = ""


class NothingHidden(ConfigError):
    """A drawn mask hides no patch.

    Attributes:
        count: how many patches the volume has.
    """

    def __init__(self, count: int) -> None:
        super().__init__(
            f"These shares hide none of the volume's patches ({count}); raise them, or choose a larger volume."
        )
        self.count = count


@dataclass(frozen=True)
class StudyChoices:
    """Everything that decides what is seen of a study before it is reconstructed.

    Attributes:
        volume: the CT.
        model: a checkpoint's path or a bundled model's name; None is the default.
        strategy: how masks are drawn.
        seed: of the mask; the same seed gives the same mask on every machine.
        region: what is hidden in place of a drawn mask; None if the mask is drawn.
        display: what of grid and mask is seen, and how.
        superpatch: the outlined one; None outlines none, as does a number that the volume does not have.
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
    """How a reconstruction is made.

    Attributes:
        coverage: masks that together hide every patch; 0 for the single mask that is shown.
        device: auto, cpu, cuda:N or mps.
        batchSize: superpatches a pass; None leaves it to the device.
        overlap: voxels that neighbouring superpatches share; None is an eighth of a superpatch.
        scores: whether PSNR, SSIM and the like are measured, which takes time on a large volume.
        export: whether files for other programs and a report are written beside.
        controls: names of the fills without learning that are scored as well; for a single mask only.
    """

    coverage: int = USUAL_COVERAGE
    device: str = "auto"
    batchSize: int | None = None
    overlap: int | None = None
    scores: bool = True
    export: bool = False
    controls: tuple[str, ...] = ()
