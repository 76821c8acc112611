"""SL-MAE: a masked autoencoder with a second loss in the Fourier domain (arXiv:2606.13315; docs/methods.md, SL-MAE)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from MAESILCore.losses.masked import masked_power
from MAESILCore.losses.spectral import Averaging, Comparison, spectral_loss, standardise
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.masked import MaskedAutoencoder, MaskedConfig
from MAESILCore.methods.presets import PRESETS
from MAESILCore.nn.tokens import expand_patches, patchify, unpatchify

#: The epochs of the published training, before which the spectral loss is off, and over which it then rises.
_EPOCHS, _FIRST_EPOCH, _RISE = 700, 5, 20


class Spectral(BaseModel):
    """The spectral term of the loss.

    Attributes:
        weight: lambda. 0 makes the plain twin of the paper.
        cut: the high-pass drops frequencies below this share of the highest; 0 keeps all.
        mode: what is compared, see `losses.spectral.spectral_loss`.
        average: how frequencies are averaged, see `losses.spectral.frequency_weights`.
        schedule: `each` takes the term in every step with its weight. `paper` is that of the released code: in every
            `every`-th step, from the sixth epoch of 700 on, with weight lambda / `every`, where lambda rises over 20
            epochs. Trainings have no epochs here, so an epoch is a 700th of the steps.
        every: steps between spectral terms of the schedule `paper`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=1.0, ge=0.0)
    cut: float = Field(default=0.3, ge=0.0, lt=1.0)
    mode: Comparison = "logmag"
    average: Averaging = "radii"
    schedule: Literal["each", "paper"] = "each"
    every: int = Field(default=10, ge=1)

    def weight_at(self, step: Step) -> float:
        """The factor of the spectral loss in the total of a step."""
        if self.schedule == "each":
            return self.weight
        epoch = step.number * _EPOCHS // step.of
        if step.number % self.every or epoch < _FIRST_EPOCH:
            return 0.0
        return self.weight * min(1.0, (epoch - _FIRST_EPOCH + 1) / _RISE) / self.every


class SlMaeConfig(MaskedConfig):
    """Sizes and losses of `SlMae`.

    Attributes:
        exponent: p of the voxel loss.
        spectral: the spectral loss.
    """

    exponent: float = Field(default=2.0, ge=1.0)
    spectral: Spectral = Spectral()


class SlMae(MaskedAutoencoder):
    """Masked autoencoder with the loss L = L_voxel + lambda L_spectral (arXiv:2606.13315).

        L_voxel     1/p mean over hidden voxels of |x - y|^p, x and y standardised by mean and deviation of x
        L_spectral  `losses.spectral.spectral_loss` of the mosaic, true voxels where visible, predicted where hidden

    Differs from paper and released code: masks are drawn by sample and without replacement, so that 75 % is hidden; the
    released code hides 52.8 % (`mask: {ratio: 0.528}`). By default the spectral loss counts in every step with its
    whole weight, which is a hundredth on average in the released code, and averages shells of frequencies, not
    frequencies. Between its spectral steps the released code adds the last value to the total as a constant; it has no
    gradient and is left out, also with `schedule: paper`. The network predicts voxels in [0, 1], standardised in the
    loss alone, so one model serves CT and MRI. All tokens are decoded, as the mosaic needs every hidden voxel.
    """

    name = "sl-mae"
    config_type = SlMaeConfig
    presets = PRESETS["sl-mae"]
    default_recipe = Path(__file__).parent / "recipes" / "sl-mae.yaml"
    config: SlMaeConfig

    def __init__(self, config: SlMaeConfig) -> None:
        super().__init__(config)
        nn.init.constant_(self.head.bias, 0.5)  # mid-window

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """The parts are `voxel` and, in steps that count it, `spectral`."""
        patch, terms = self.config.patch_size, self.config.spectral
        # fmt: off
        predicted = self.reconstruct(batch.superpatches, batch.hidden, batch.start)     # (B, 1, K, J, I)
        standard, mean, deviation = standardise(batch.superpatches)
        x = patchify(standard, patch)                                                   # (B, N, p^3)
        y = patchify((predicted - mean) / deviation, patch)                             # (B, N, p^3)
        # fmt: on
        total = masked_power(y, x, batch.hidden.flatten(1), self.config.exponent) / self.config.exponent
        parts = {"voxel": total}
        weight = terms.weight_at(step)
        if weight > 0.0:
            inside = expand_patches(batch.hidden[:, None], patch)
            mosaic = torch.where(inside, predicted, batch.superpatches)
            parts["spectral"] = spectral_loss(
                mosaic, batch.superpatches, cut=terms.cut, mode=terms.mode, average=terms.average
            )
            total = total + weight * parts["spectral"]
        return Losses(total, parts)

    def reconstruct(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `Method.reconstruct`; `start` as in `Batch`."""
        _, tokens = self.placed(superpatches, hidden, start)
        patches = self.head(self.decode(tokens))  # (B, N, p^3)
        return unpatchify(patches, self._lattice(superpatches), self.config.patch_size)
