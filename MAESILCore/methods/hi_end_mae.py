"""Hi-End-MAE: a decoder that asks several layers of the encoder (arXiv:2502.08347; docs/methods.md, Hi-End-MAE)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import model_validator
from torch import nn

from MAESILCore.losses.masked import masked_mse
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.encoder import EncoderConfig, MaskedEncoder, TransformerSize
from MAESILCore.methods.masked import place
from MAESILCore.methods.presets import PRESETS
from MAESILCore.methods.targets import NormalisedVoxels, Voxels
from MAESILCore.nn.cross_attention import CrossTransformer
from MAESILCore.nn.tokens import TokenSplit, patchify, unpatchify


class HiEndMaeConfig(EncoderConfig):
    """Sizes and switches of `HiEndMae`.

    Attributes:
        encoder: transformer over the visible tokens.
        layers: blocks of the encoder whose outputs the decoder asks, counted from 0 and rising. The output of the last
            block is the decoder's input and is no choice.
        decoder: transformer over all tokens; its depth counts the blocks of self-attention, to which one block for each
            of `layers` is added.
        normalise_targets: standardise the target patches in the loss, as in the paper. A reconstruction estimates the
            statistics of hidden patches from the smooth fill.
    """

    encoder: TransformerSize = TransformerSize(width=256, depth=6, heads=4)
    layers: tuple[int, ...] = (1, 3, 4)
    decoder: TransformerSize = TransformerSize(width=192, depth=2, heads=3)
    normalise_targets: bool = True

    @model_validator(mode="after")
    def _layers_exist(self) -> HiEndMaeConfig:
        last = self.encoder.depth - 1
        is_rising = self.layers == tuple(sorted(set(self.layers)))
        if not (self.layers and is_rising and all(0 <= layer < last for layer in self.layers)):
            message = (
                f"layers must be rising numbers of blocks below the last of the encoder, from 0 to {last - 1}, "
                f"but they are {list(self.layers)}"
            )
            raise ValueError(message)
        return self


class HiEndMae(MaskedEncoder):
    """Masked autoencoder whose decoder attends to deep, middle and shallow layers of the encoder (Tang et al. 2025).

        X <- [encoded visible tokens; mask tokens] + positions, through blocks of self-attention
        X <- X + SelfAttention(LN X);  X <- X + CrossAttention(LN X, P_l h_l);  X <- X + MLP(LN X)    deep l first
        L = mean over hidden patches of |head(LN X)_i - (x_i - mean_i) / deviation_i|^2

    h_l are the tokens after block l of the encoder, P_l a linear map of its own for each. As in the released code,
    layers count from 0, so [3, 6, 9] are the outputs of blocks 4, 7 and 10; the paper's figure names them 3, 6 and 9.

    Differs from paper and released code: the decoder is 512 wide, not 528, which 16 heads divide into odd widths; the
    preset `paper` alone has superpatches of 96^3 and patches of 12^3; and a reconstruction takes mean and deviation of
    a hidden patch from the smooth fill, as its own are hidden.
    """

    name = "hi-end-mae"
    config_type = HiEndMaeConfig
    presets = PRESETS["hi-end-mae"]
    default_recipe = Path(__file__).parent / "recipes" / "hi-end-mae.yaml"
    config: HiEndMaeConfig

    def __init__(self, config: HiEndMaeConfig) -> None:
        super().__init__(config)
        encoder, decoder = config.encoder, config.decoder
        self.bridge = nn.Linear(encoder.width, decoder.width)
        self.layer_bridges = nn.ModuleList(nn.Linear(encoder.width, decoder.width) for _ in config.layers)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.decoder = CrossTransformer(decoder.width, decoder.depth, len(config.layers), decoder.heads)
        self.head = nn.Linear(decoder.width, math.prod(config.patch_size))
        self._initialise(self.mask_token)
        # The first prediction has almost no noise: it is the head's bias.
        nn.init.normal_(self.head.weight, std=0.002)
        self.target = NormalisedVoxels() if config.normalise_targets else Voxels()
        if not config.normalise_targets:
            nn.init.constant_(self.head.bias, 0.5)  # mid-window

    @property
    def abilities(self) -> Abilities:
        """See `Method.abilities`."""
        asked = (1 + len(self.config.layers)) * self.config.encoder.width
        told = 2 if self.config.normalise_targets else 0  # mean and deviation of a visible patch
        return replace(super().abilities, latent_values=asked + told)

    def forward(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict all patches, (B, N, p^3), in units of the target; see `Batch` for the arguments."""
        split, layers = TokenSplit.of(hidden), self.config.layers
        tokens, allowed = self.embedded(superpatches, split, start)
        # fmt: off
        *states, last = self.encoder.intermediates(tokens, (*layers, -1), allowed)      # (B, 1 + V, E) each
        memories = [bridge(state) for bridge, state in zip(self.layer_bridges, states, strict=True)]
        lattice = self._lattice(superpatches)
        x = place(self.bridge(last), self.mask_token, split, lattice, start)            # (B, 1 + N, D)
        x = self.decoder(x, memories[::-1], allowed)[:, 1:]                             # (B, N, D)
        # fmt: on
        return self.head(x)

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """The mean squared error over hidden patches, of each superpatch, and its mean over them."""
        x = self.target.standardised(patchify(batch.superpatches, self.config.patch_size))  # (B, N, p^3)
        y = self(batch.superpatches, batch.hidden, batch.start)  # (B, N, p^3)
        return Losses(masked_mse(y, x, batch.hidden.flatten(1)))

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """See `Method.reconstruct`."""
        patch = self.config.patch_size
        picture = unpatchify(self(superpatches, hidden), self._lattice(superpatches), patch)
        return self.target.voxels(picture, superpatches, hidden, patch)
