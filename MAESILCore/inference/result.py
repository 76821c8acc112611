"""What a reconstruction hands back."""

from __future__ import annotations

from dataclasses import dataclass

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.lattice import Mask, SuperpatchGrid


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Volumes in HU, float32, on the very grid of the input.

    Attributes:
        volume: the input, untouched.
        reconstruction: the network's output, within its window. With a single mask the visible patches, too,
            have gone through the network; with a coverage every voxel is the mean over the masks that hid it.
            Superpatches without anything hidden, which the network was spared, show the input.
        mosaic: the input where `mask` is visible, the reconstruction where it is hidden.
        error: reconstruction minus input, signed, where a patch was hidden; 0 elsewhere. The input is clipped
            to the window first, since a model cannot be asked for values that it never sees.
        uncertainty: standard deviation over the masks that hid a voxel, 0 where only one did; None for a
            single mask. Where superpatches overlap, theirs are blended.
        mask: the single mask, or the first one of the coverage.
        masks: all masks.
        grid: how the volume was divided.
        window: the model's, HU <-> [0, 1].
        notes: sentences that belong beside the result, in addition to the volume's own.
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

    @property
    def hidden_shares(self) -> dict[str, float]:
        """How much `mask` hides, as it stands in files.

        `hidden_fraction` is the share of patches and `hidden_voxel_fraction` that of voxels, both 0 to 1. They differ
        where patches at the end of an axis are cut.
        """
        return hidden_shares(self.mask, self.grid)

    @property
    def is_coverage(self) -> bool:
        """Whether every voxel was predicted while it was hidden, rather than those of a single mask."""
        return self.uncertainty is not None


def hidden_shares(mask: Mask, grid: SuperpatchGrid) -> dict[str, float]:
    """See `Reconstruction.hidden_shares`."""
    return {
        "hidden_fraction": mask.hidden_fraction,
        "hidden_voxel_fraction": grid.voxel_share(mask.hidden),
    }
