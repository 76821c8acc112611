"""The moving average of a model's weights, used for inference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim.swa_utils import AveragedModel

from MAESILCore.methods.base import Method


def make_average(method: Method, decay: float) -> AveragedModel:
    """An exponential moving average of weights and buffers, started at the current values.

    Step n, from 1, keeps min(`decay`, n / (9 + n)) of the average, so that the random start fades early. Integers, such
    as counts, are copied.
    """

    def keep(
        means: Sequence[torch.Tensor], values: Sequence[torch.Tensor], count: torch.Tensor | int
    ) -> None:
        kept = min(decay, int(count) / (9 + int(count)))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1.0 - kept)
            else:
                mean.copy_(value)

    average = AveragedModel(method, multi_avg_fn=keep, use_buffers=True)
    average.update_parameters(method)  # the first call copies and starts the count
    return average.requires_grad_(False).eval()
