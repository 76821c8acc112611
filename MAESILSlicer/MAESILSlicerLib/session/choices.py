"""What a person chooses: how a volume is masked and how it is reconstructed. Plain values, no nodes and no widgets."""

from __future__ import annotations

from dataclasses import dataclass

from MAESILCore.lattice import MaskStrategy

#: What is hidden, by the mode of `MAESILCore.lattice.MaskStrategy`, for people.
MODE_TITLES = {
    "nested": "Two stages (nested)",
    "random": "Single patches at random",
    "block": "Blocks of patches",
    "plane": "Whole planes",
    "axis": "Whole columns",
    "product": "Planes and columns",
}

#: Masks of a coverage in which every patch is hidden at least twice with the usual ratios.
USUAL_COVERAGE = 4


@dataclass(frozen=True)
class MaskChoices:
    """How masks are drawn.

    Attributes:
        mode: as in `MAESILCore.lattice.MaskStrategy`.
        ratio: hidden share of the one-stage modes, 0 to 1.
        planeRatio: hidden share of the first stage of the two-stage modes.
        axisRatio: hidden share of their second stage.
        blockSize: patches of a block's edge in mode `block`.
        seed: of the mask; the same seed gives the same mask on every machine.
    """

    mode: str = "nested"
    ratio: float = 0.75
    planeRatio: float = 0.5
    axisRatio: float = 0.5
    blockSize: int = 2
    seed: int = 0

    def strategy(self) -> MaskStrategy:
        """The library's strategy.

        Raises:
            ConfigError: the values do not fit each other.
        """
        return MaskStrategy(self.mode, self.ratio, self.planeRatio, self.axisRatio, self.blockSize)


@dataclass(frozen=True)
class ReconstructionChoices:
    """How a reconstruction is made.

    Attributes:
        coverage: masks that together hide every patch; 0 for the single mask that is shown.
        device: auto, cpu, cuda:N or mps.
        batchSize: superpatches a pass; None leaves it to the device.
        overlap: voxels that neighbouring superpatches share; None is a quarter of a superpatch.
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
