"""The segmentation network: an encoder beside a U-Net of MONAI's blocks that takes in its features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from MAESILCore.errors import ConfigError
from MAESILCore.methods.abilities import Triple
from MAESILCore.methods.base import Method
from MAESILCore.optional import require

#: Norms of the decoder, as MONAI names them.
NORMS = {"batch": ("BATCH", {}), "instance": ("INSTANCE", {"affine": True})}


class Segmenter(nn.Module, ABC):
    """Superpatches to logits of classes, however the network is built.

    Attributes:
        unit: voxels along k, j, i of which an input must be a multiple.
        largest: largest input in voxels along k, j, i.
        width: channels at the full resolution.
        levels: feature levels of the encoder that it sees; empty without an encoder of ours.
        norm: norm of its decoder, a key of `NORMS`; "" without an encoder of ours.
    """

    unit: Triple
    largest: Triple
    width: int
    norm: str = ""
    levels: tuple[int, ...] = ()

    @property
    @abstractmethod
    def encoder_weights(self) -> list[nn.Parameter]:
        """Weights that were or could be pre-trained."""

    @property
    def decoder_weights(self) -> list[nn.Parameter]:
        """All other weights."""
        known = {id(weight) for weight in self.encoder_weights}
        return [weight for weight in self.parameters() if id(weight) not in known]

    @abstractmethod
    def forward(self, superpatches: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        """(B, 1, K, J, I) in [0, 1] -> (B, classes, K, J, I) logits.

        Args:
            superpatches: the input.
            frozen: compute no gradients of the encoder, which saves their time and memory.
        """


class SegmentationNetwork(Segmenter):
    """A network of an encoder of ours and a decoder.

    The decoder is a U-Net: residual convolutions from the full resolution down to the stride of the deepest features,
    by halvings, and up again. One feature level of the encoder is added to the way down at each halving. A level that
    lies on a coarser lattice is brought up by transposed convolutions, as in UNETR (Hatamizadeh et al. 2022), which
    has no way down. Why here is one: docs/decisions/0027-way-down.md.

    Args:
        method: the encoder; only `Method.features` is used.
        levels: feature levels from shallow to deep, one per resolution below the full one.
        classes: number of classes, the background included.
        width: channels at the full resolution; they double with each halving.
        norm: norm of the decoder, a key of `NORMS`. Instance norms forget the absolute values of a crop, so that lung
            and the air around a body look alike.

    Raises:
        ConfigError: the levels do not fit the encoder.
        MissingPackageError: MONAI is not installed.
    """

    def __init__(
        self, method: Method, levels: Sequence[int], classes: int, width: int, norm: str = "batch"
    ) -> None:
        super().__init__()
        blocks: Any = require("monai.networks.blocks", "A segmentation")
        sizes = method.config
        self.largest, self.width, self.norm = sizes.superpatch_size, width, norm
        stride = method.abilities.levels[-1].stride if method.abilities.levels else sizes.patch_size
        k, j, i = (math.lcm(patch, step) for patch, step in zip(sizes.patch_size, stride, strict=True))
        self.unit = k, j, i
        # A teacher, which takes no gradients in pre-training, learns here.
        self.encoder, self.levels = method.requires_grad_(True), tuple(levels)
        steps = halvings(method)
        if len(self.levels) != len(steps):
            raise ConfigError(
                f"The decoder has {len(steps)} resolutions, but {len(self.levels)} levels are given."
            )
        found = [method.abilities.levels[level] for level in self.levels]
        scales = [per_axis_product(steps[:depth]) for depth in range(1, len(steps) + 1)]
        widths = [width * 2**depth for depth in range(len(steps) + 1)]
        shared = {"spatial_dims": 3, "kernel_size": 3, "norm_name": NORMS[norm], "res_block": True}
        self.voxels = blocks.UnetrBasicBlock(in_channels=1, out_channels=width, stride=1, **shared)
        self.skips = nn.ModuleList(
            _brought_up(blocks, level.width, channels, _ratios(level.stride, scale), norm)
            for level, channels, scale in zip(found, widths[1:], scales, strict=True)
        )
        self.downs = nn.ModuleList(
            blocks.UnetrBasicBlock(
                in_channels=widths[depth], out_channels=widths[depth + 1], stride=steps[depth], **shared
            )
            for depth in range(len(steps))
        )
        self.ups = nn.ModuleList(
            blocks.UnetrUpBlock(
                in_channels=widths[depth + 1],
                out_channels=widths[depth],
                upsample_kernel_size=steps[depth],
                **shared,
            )
            for depth in range(len(steps))
        )
        self.head = blocks.UnetOutBlock(spatial_dims=3, in_channels=width, out_channels=classes)

    def forward(self, superpatches: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        """See `Segmenter.forward`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = self.encoder.features(superpatches, self.levels)
        maps = [self.voxels(superpatches)]
        for down, skip, one in zip(self.downs, self.skips, features, strict=True):
            maps.append(down(maps[-1]) + skip(one.map))
        x = maps.pop()
        for up in reversed(list(self.ups)):
            x = up(x, maps.pop())
        return self.head(x)

    @property
    def encoder_weights(self) -> list[nn.Parameter]:
        """The weights of the encoder."""
        return list(self.encoder.parameters())


def placed(network: Segmenter, device: torch.device) -> Segmenter:
    """The network on a device, in the memory layout in which it trains fastest there.

    On a CPU the channels come last: PyTorch's gradients of convolutions with few channels are faster so
    (`make bench BENCH_ARGS="--only learning"`).
    """
    if device.type == "cpu":
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network.to(device)


def halvings(method: Method) -> list[Triple]:
    """The factors along k, j, i between the decoder's resolutions, from the full one down to the deepest features.

    Raises:
        ConfigError: the encoder has no features, or a stride is not a power of two.
    """
    abilities = method.abilities
    if not abilities.levels:
        raise ConfigError(abilities.why_no_features(method.name))
    deepest = abilities.levels[-1].stride
    if any(stride & (stride - 1) for stride in deepest) or max(deepest) < 2:
        raise ConfigError(
            f"The encoder has features for {deepest} voxels; the decoder needs powers of two, such as patches of 8."
        )
    powers = [stride.bit_length() - 1 for stride in deepest]
    return [
        (1 + (powers[0] > depth), 1 + (powers[1] > depth), 1 + (powers[2] > depth))
        for depth in range(max(powers))
    ]


def usual_levels(method: Method) -> tuple[int, ...]:
    """One level per resolution of the decoder, evenly spread over the depth and ending with the deepest.

    Levels of a convolutional encoder that have the stride of a resolution are taken for it.
    """
    levels, steps = method.abilities.levels, halvings(method)
    count = len(steps)
    spread = [math.ceil((place + 1) * len(levels) / count) - 1 for place in range(count)]
    for place in range(count - 1):
        scale = per_axis_product(steps[: place + 1])
        same = [number for number, level in enumerate(levels) if level.stride == scale]
        spread[place] = same[-1] if same else spread[place]
    return tuple(max(0, place) for place in spread)


def per_axis_product(factors: Sequence[Triple]) -> Triple:
    """The product along each axis."""
    k, j, i = (math.prod(one[axis] for one in factors) for axis in range(3))
    return k, j, i


def _ratios(stride: Triple, scale: Triple) -> list[Triple]:
    """The factors by which a level of some stride is brought up to a resolution, one per transposed convolution.

    Raises:
        ConfigError: the level is finer than the resolution.
    """
    if any(have % want for have, want in zip(stride, scale, strict=True)):
        raise ConfigError(
            f"A feature level for {stride} voxels is finer than the decoder's {scale}: give deeper levels."
        )
    powers = [(have // want).bit_length() - 1 for have, want in zip(stride, scale, strict=True)]
    return [
        (1 + (powers[0] > step), 1 + (powers[1] > step), 1 + (powers[2] > step))
        for step in range(max(powers))
    ]


def _brought_up(
    blocks: Any,  # noqa: ANN401 - MONAI's
    channels: int,
    width: int,
    ratios: Sequence[Triple],
    norm: str,
) -> nn.Module:
    """A level as the decoder takes it: as many channels as its resolution has, and its extents."""
    dynunet: Any = require("monai.networks.blocks.dynunet_block", "A segmentation")
    shared = {"spatial_dims": 3, "kernel_size": 3, "stride": 1, "norm_name": NORMS[norm]}
    if not ratios:
        return blocks.UnetrBasicBlock(in_channels=channels, out_channels=width, res_block=True, **shared)
    layers: list[nn.Module] = []
    for number, ratio in enumerate(ratios):
        layers.append(
            dynunet.get_conv_layer(
                3,
                channels if number == 0 else width,
                width,
                kernel_size=ratio,
                stride=ratio,
                conv_only=True,
                is_transposed=True,
            )
        )
        if number:
            layers.append(dynunet.UnetResBlock(in_channels=width, out_channels=width, **shared))
    return nn.Sequential(*layers)
