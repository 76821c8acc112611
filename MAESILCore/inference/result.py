"""The result of a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.lattice import Mask, SuperpatchGrid, Triple


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Volumes in HU, or the units of the input, float32, in the geometry of the input.

    Attributes:
        volume: the input, unchanged.
        reconstruction: the network's output, within its window. A single mask: visible patches are predicted, too.
            A coverage: each voxel is the mean over the masks that hid it. Superpatches that needed no pass show
            the input.
        mosaic: the input where `mask` is visible, the reconstruction where it is hidden.
        error: reconstruction minus input, signed, for patches that were hidden, or for all if `sees_all`; 0
            elsewhere. The input is clipped to the window first, since the model never sees values outside it.
        uncertainty: standard deviation over the masks that hid a voxel, 0 for one mask; blended where superpatches
            overlap. None for a single mask.
        mask: the single mask, or the first one of the coverage.
        masks: all masks; those of a coverage lie on lattices of their own, the first on that of `grid`.
        grid: the superpatch grid of the volume.
        window: the mapping of the values to [0, 1].
        notes: sentences to show with the result, in addition to the volume's own.
        sees_all: whether the model hides nothing (`Abilities.hides`); its output is then scored on all voxels.
        shifts: for each mask, the voxels along k, j, i by which its lattice begins before the volume.
    """

    volume: Volume
    reconstruction: Volume
    mosaic: Volume
    error: Volume
    uncertainty: Volume | None
    mask: Mask
    masks: list[Mask]
    grid: SuperpatchGrid
    window: Window
    notes: tuple[str, ...] = ()
    sees_all: bool = False
    shifts: tuple[Triple, ...] = ((0, 0, 0),)

    @property
    def window_facts(self) -> dict[str, object]:
        """The window and the unit of all values, by the names used in files; the unit is "" for scans without HU."""
        unit = "HU" if self.volume.looks_like_hu else ""
        ends = [self.window.low, self.window.high]
        return {"window": ends, "unit": unit, **({"window_hu": ends} if unit else {})}

    @property
    def hidden_shares(self) -> dict[str, float]:
        """The share that `mask` hides, by the names used in files.

        `hidden_fraction` is the share of patches, `hidden_voxel_fraction` that of voxels, both 0 to 1. They differ
        if the last patch of an axis is cut.
        """
        return hidden_shares(self.mask, self.grid)

    @property
    def is_coverage(self) -> bool:
        """Whether the result is that of a coverage, not of a single mask."""
        return self.uncertainty is not None


def hidden_shares(mask: Mask, grid: SuperpatchGrid) -> dict[str, float]:
    """See `Reconstruction.hidden_shares`."""
    return {
        "hidden_fraction": mask.hidden_fraction,
        "hidden_voxel_fraction": grid.voxel_share(mask.hidden),
    }
