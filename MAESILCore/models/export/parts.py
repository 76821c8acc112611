"""What the exports share: the encoder of a model, the size of its input, and its embedding as a convolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from MAESILCore.errors import ConfigError
from MAESILCore.methods.abilities import Triple
from MAESILCore.methods.encoder import MaskedEncoder, PatchEncoder
from MAESILCore.methods.jepa_vcr import JepaVcr
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.nn.positions import sincos_positions


@dataclass(frozen=True)
class Export:
    """An encoder in the form of another framework.

    Attributes:
        write: writes the framework's own files into a folder.
        facts: what `encoder.json` says beside the facts that all exports share.
        guide: how to load it, in Markdown.
        size: voxels of the input along k, j, i.
    """

    write: Callable[[Path], None]
    facts: Mapping[str, Any]
    guide: str
    size: Triple


@dataclass(frozen=True)
class TokenEncoder:
    """The transformer of a model, for inputs of one size.

    Attributes:
        encoder: the transformer with its embedding.
        size: voxels of the input along k, j, i, in which the model counts.
        summary: the method's summary of a superpatch: its first `token`, or the `mean` of the others.
    """

    encoder: PatchEncoder
    size: Triple
    summary: str = "token"

    @property
    def lattice(self) -> Triple:
        """Patches along k, j, i."""
        k, j, i = (
            size // patch for size, patch in zip(self.size, self.encoder.config.patch_size, strict=True)
        )
        return k, j, i

    def embedding(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The patch embedding as a convolution with kernel = stride, for inputs in [0, 1].

        The encoder embeds 2x - 1, and W (2x - 1) + b = 2W x + (b - sum W).

        Returns:
            Weight (E, 1, pk, pj, pi) and bias (E,).
        """
        weight, bias = self.encoder.embed.weight.double(), self.encoder.embed.bias.double()
        kernel = (2.0 * weight).view(-1, 1, *self.encoder.config.patch_size)
        return kernel.float(), (bias - weight.sum(dim=1)).float()

    def positions(self) -> torch.Tensor:
        """The position codes of all patches, (1, N, E), row-major in (k, j, i)."""
        return sincos_positions(self.lattice, self.encoder.config.encoder.width)


def token_encoder(model: LoadedModel, target: str, size: Triple) -> TokenEncoder:
    """The transformer whose tokens are the model's features.

    Raises:
        ConfigError: the model has none.
    """
    method = model.method
    if isinstance(method, JepaVcr):
        return TokenEncoder(method.teacher, size, "mean")
    if isinstance(method, MaskedEncoder):
        return TokenEncoder(method, size)
    raise ConfigError(
        f"{model.name} ({method.name}) has no transformer that {target} could load: export it to onnx."
    )


def fitting_size(
    model: LoadedModel, size: Triple | None, multiple: Triple, scale: Triple = (1, 1, 1)
) -> Triple:
    """The size of the input along k, j, i; None is the superpatch.

    Args:
        model: the model.
        size: voxels that the user asked for.
        multiple: of what the size must be a multiple.
        scale: input voxels per voxel of the model, along k, j, i.

    Raises:
        ConfigError: the size does not fit.
    """
    wanted = size or model.superpatch_size
    largest = tuple(edge * factor for edge, factor in zip(model.superpatch_size, scale, strict=True))
    fits = all(
        0 < edge <= most and edge % unit == 0
        for edge, most, unit in zip(wanted, largest, multiple, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"An input of {times(wanted)} voxels (k x j x i) does not fit: give a size of multiples of "
            f"{times(multiple)} and at most {times(largest)}."
        )
    return wanted


def times(sizes: tuple[int, ...]) -> str:
    """(8, 8, 8) -> "8 x 8 x 8"."""
    return " x ".join(map(str, sizes))


def average_kernel(kernel: torch.Tensor, factors: Triple) -> torch.Tensor:
    """The kernel that does to a picture what the given one does to its means over blocks of `factors` voxels.

    Args:
        kernel: (E, 1, pk, pj, pi).
        factors: edges of a block along k, j, i.
    """
    for axis, factor in enumerate(factors):
        kernel = kernel.repeat_interleave(factor, dim=2 + axis)
    return kernel / math.prod(factors)
