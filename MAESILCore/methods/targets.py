"""Training targets of the linear head and their conversion to voxels: exchangeable parts of `maesil`."""

from __future__ import annotations

import torch

from MAESILCore.losses.masked import normalise_patches
from MAESILCore.methods.abilities import Triple
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.tokens import patchify, unpatchify


def mid_grey(superpatches: torch.Tensor, hidden: torch.Tensor, patch_size: Triple) -> torch.Tensor:
    """A constant fill of 0.5, (B, 1, K, J, I), with the signature of `nn.fill.smooth_fill`."""
    return superpatches.new_full((), 0.5).expand_as(superpatches)


class Voxels:
    """The published target: the voxels themselves."""

    def of(self, patches: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """The head's target for true patches and their fill, (B, C, p^3) each."""
        return patches

    def picture(self, prediction: torch.Tensor, fill: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Convert a prediction to a picture, (B, 1, K, J, I) each; `inside` is 1 at hidden voxels, else 0."""
        return prediction

    def corrected(
        self, picture: torch.Tensor, correction: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        """Add a correction to the picture; shapes as in `picture`."""
        return picture + correction

    def standardised(self, patches: torch.Tensor) -> torch.Tensor:
        """Convert true patches, (B, N, p^3), to the units of the picture."""
        return patches

    def voxels(
        self, picture: torch.Tensor, superpatches: torch.Tensor, hidden: torch.Tensor, patch_size: Triple
    ) -> torch.Tensor:
        """Convert the picture, (B, 1, K, J, I), to the units of the input superpatches."""
        return picture


class NormalisedVoxels(Voxels):
    """Voxels standardised by the mean and deviation of their patch (He et al. 2022)."""

    def of(self, patches: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """See `Voxels.of`."""
        return self.standardised(patches)

    def standardised(self, patches: torch.Tensor) -> torch.Tensor:
        """See `Voxels.standardised`."""
        return normalise_patches(patches)[0]

    def voxels(
        self, picture: torch.Tensor, superpatches: torch.Tensor, hidden: torch.Tensor, patch_size: Triple
    ) -> torch.Tensor:
        """Estimate the mean and deviation of a patch from the smooth fill, as those of hidden patches are unknown."""
        _, mean, deviation = normalise_patches(
            patchify(smooth_fill(superpatches, hidden, patch_size), patch_size)
        )
        k, j, i = (size // patch for size, patch in zip(picture.shape[2:], patch_size, strict=True))
        return unpatchify(patchify(picture, patch_size) * deviation + mean, (k, j, i), patch_size)


class FillResidual(Voxels):
    """The difference to a smooth fill; visible voxels stay unchanged."""

    def of(self, patches: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """See `Voxels.of`."""
        return patches - fill

    def picture(self, prediction: torch.Tensor, fill: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """See `Voxels.picture`."""
        return fill + inside * prediction

    def corrected(
        self, picture: torch.Tensor, correction: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        """See `Voxels.corrected`."""
        return picture + inside * correction
