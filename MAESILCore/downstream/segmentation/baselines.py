"""Networks of MONAI to compare with, which have no encoder of ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from MAESILCore.downstream.segmentation.network import Segmenter
from MAESILCore.errors import ConfigError
from MAESILCore.optional import require

#: Names of the networks, as in `SegmentationConfig.network`.
BASELINES = ("monai-unet", "monai-dynunet")

_LEVELS = 4


class MonaiNetwork(Segmenter):
    """A UNet of MONAI with three halvings; channels double with each.

    Args:
        kind: `monai-unet` has two residual units per level, instance norms and PReLU (Kerfoot et al. 2019).
            `monai-dynunet` has the plain blocks of nnU-Net: two convolutions, instance norms and leaky ReLU (Isensee et
            al. 2021), without its deep supervision and its choice of sizes.
        classes: number of classes, the background included.
        width: channels at the full resolution.

    Raises:
        ConfigError: there is no such network.
        MissingPackageError: MONAI is not installed.
    """

    unit, largest = (8, 8, 8), (128, 128, 128)

    def __init__(self, kind: str, classes: int, width: int) -> None:
        super().__init__()
        nets: Any = require("monai.networks.nets", "A segmentation")
        self.kind, self.width = kind, width
        channels = [width * 2**level for level in range(_LEVELS)]
        if kind == "monai-unet":
            self.body: nn.Module = nets.UNet(3, 1, classes, channels, (2,) * (_LEVELS - 1), num_res_units=2)
        elif kind == "monai-dynunet":
            strides = [1, *[2] * (_LEVELS - 1)]
            self.body = nets.DynUNet(
                3, 1, classes, [3] * _LEVELS, strides, upsample_kernel_size=strides[1:], filters=channels
            )
        else:
            raise ConfigError(f"There is no network {kind!r}; choose one of {', '.join(BASELINES)}.")

    @property
    def encoder_weights(self) -> list[nn.Parameter]:
        """None: no checkpoint of ours fits."""
        return []

    def forward(self, superpatches: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        """See `Segmenter.forward`."""
        return self.body(superpatches)
