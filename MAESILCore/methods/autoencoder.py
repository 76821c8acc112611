"""The shared body of the auto-encoders: one convolutional trunk, so that only the bottleneck differs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from MAESILCore.methods.abilities import Abilities, FeatureLevel, Triple
from MAESILCore.methods.base import Features, Method, MethodConfig
from MAESILCore.nn.convnet import GROUPS, ConvDecoder, ConvEncoder, halvings
from MAESILCore.nn.convolution import Conv3d


class AutoencoderConfig(MethodConfig):
    """Sizes of the trunk (docs/methods.md, AE, VAE and VQ-VAE). The patch size is the stride of the latent.

    Attributes:
        width: channels of the first stage; each further stage doubles them. A patch of 8 voxels has three stages.
        deep_width: channels of the deepest stage; null doubles those of the stage above.
        blocks: residual blocks per stage.
        latent_channels: values of the latent per patch.
        pixel_loss: `mse`, the mean squared error, or `l1`, the mean absolute error, over all voxels.
    """

    width: int = Field(default=32, ge=GROUPS, multiple_of=GROUPS)
    deep_width: int | None = Field(default=None, ge=GROUPS, multiple_of=GROUPS)
    blocks: int = Field(default=2, ge=1)
    latent_channels: int = Field(default=8, ge=1)
    pixel_loss: Literal["mse", "l1"] = "mse"

    @model_validator(mode="after")
    def _trunk_can_be_built(self) -> AutoencoderConfig:
        if any(size & (size - 1) for size in self.patch_size) or max(self.patch_size) < 2:
            raise ValueError(
                "the patch size of an auto-encoder must be powers of two, at least one of them above 1"
            )
        deepest = self.widths[-1]
        if self.latent_channels > deepest:
            message = (
                f"the {deepest} channels of the deepest stage cannot fill {self.latent_channels} latent_channels: "
                "raise deep_width, or lower latent_channels"
            )
            raise ValueError(message)
        return self

    @property
    def widths(self) -> list[int]:
        """Channels of each stage."""
        widths = [self.width * 2**stage for stage in range(len(halvings(self.patch_size)))]
        return [*widths[:-1], self.deep_width or widths[-1]]


class Autoencoder(Method):
    """x -> encoder -> bottleneck -> decoder -> x, of whole superpatches; nothing is hidden.

    Trunk: per stage a strided 3x3x3 convolution and residual blocks of GroupNorm and SiLU (those of MONAI), and the
    mirror of it with nearest-neighbour upsampling. Normalisation is over one sample's crop, so samples of a batch stay
    independent. In the comments, c is `latent_channels` and k, j, i the patch lattice.

    Args:
        config: the configuration.
        values: channels that the bottleneck receives; the VAE needs two per latent channel.
    """

    config: AutoencoderConfig

    def __init__(self, config: AutoencoderConfig, values: int) -> None:
        super().__init__()
        self.config = config
        strides, widths = halvings(config.patch_size), config.widths
        self.encoder = ConvEncoder(strides, widths, config.blocks)
        self.to_latent = Conv3d(widths[-1], values, 1)
        self.from_latent = Conv3d(config.latent_channels, widths[-1], 1)
        self.decoder = ConvDecoder(strides, widths, config.blocks)

    @property
    def abilities(self) -> Abilities:
        """It sees all voxels and returns all of them."""
        return Abilities(hides=False, reconstructs=True, levels=self._levels())

    def encode(self, superpatches: torch.Tensor) -> torch.Tensor:
        """What the bottleneck receives: (B, 1, K, J, I) -> (B, values, k, j, i) float."""
        return self.to_latent(self.encoder(superpatches)[-1]).float()

    @abstractmethod
    def latent(self, encoded: torch.Tensor) -> torch.Tensor:
        """The latent of an evaluation, (B, c, k, j, i), from `encode`."""

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """(B, c, k, j, i) -> (B, 1, K, J, I) float."""
        return self.decoder(self.from_latent(latent)).float()

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """All voxels from all voxels, through the latent; `hidden` has no True. See `Method.reconstruct`."""
        return self.decode(self.latent(self.encode(superpatches)))

    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """The map of each stage of the encoder, and the latent; see `Method.features`."""
        maps = self.encoder(superpatches)
        found = [*maps, self.latent(self.to_latent(maps[-1]).float())]
        return [Features(found[level], self._levels()[level].stride) for level in levels]

    def pixel_error(self, predicted: torch.Tensor, superpatches: torch.Tensor) -> torch.Tensor:
        """The mean error over all voxels, a scalar; see `AutoencoderConfig.pixel_loss`."""
        error = nn.functional.mse_loss if self.config.pixel_loss == "mse" else nn.functional.l1_loss
        return error(predicted, superpatches)

    def _levels(self) -> tuple[FeatureLevel, ...]:
        strides: list[Triple] = list(accumulate(halvings(self.config.patch_size), _product))
        stages = [FeatureLevel(*each) for each in zip(strides, self.config.widths, strict=True)]
        return (*stages, FeatureLevel(self.config.patch_size, self.config.latent_channels))


def _product(one: Triple, other: Triple) -> Triple:
    k, j, i = (math.prod(pair) for pair in zip(one, other, strict=True))
    return k, j, i
