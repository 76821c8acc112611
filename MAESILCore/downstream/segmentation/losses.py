"""Dice and cross-entropy over labelled voxels; structures that a case leaves out count as its background."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from MAESILCore.downstream.segmentation.classes import IGNORED
from MAESILCore.methods.base import Losses
from MAESILCore.optional import require


class SegmentationLoss:
    """Mean of 1 - Dice over the structures, without the background, plus cross-entropy.

    A voxel of a class that has n of the batch's N labelled voxels weighs (N / n)^balance in the cross-entropy. Without
    weights, small structures get no gradient for long: their voxels are few, and Dice passes a softmax that is near 0.

    Dice is MONAI's with squared predictions (Milletari et al. 2016), summed over the batch. In a case without some
    structures their probability is added to the background's, as its background may hold them (the marginal loss of
    Shi et al. 2021).

    Args:
        balance: exponent of the weights; 0 counts all voxels alike, 1 all classes.
    """

    def __init__(self, balance: float) -> None:
        self._balance = balance
        losses: Any = require("monai.losses", "A segmentation")
        self._dice = losses.DiceLoss(
            include_background=False, squared_pred=True, batch=True, reduction="none"
        )

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor, missing: torch.Tensor) -> Losses:
        """The loss of a batch.

        Args:
            logits: (B, C, K, J, I).
            labels: (B, K, J, I) integers, indices of classes or `IGNORED`.
            missing: (B, C) bool, see `CaseLabels.missing`.
        """
        logs = merged(F.log_softmax(logits.float(), dim=1), missing)
        counts = (labels != IGNORED)[:, None]
        target = torch.where(counts[:, 0], labels, 0).long()
        picked = torch.gather(logs, 1, target[:, None])
        weights = self._weights(target, counts[:, 0], logits.shape[1])[:, None]
        cross_entropy = -(picked * weights).sum() / weights.sum().clamp_min(1)
        truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(logs)
        dice = self._dice(logs.exp() * counts, truth * counts).flatten()
        outlined = ~missing[:, 1:].all(dim=0)
        mean = (dice * outlined).sum() / outlined.sum().clamp_min(1)
        return Losses(mean + cross_entropy, {"dice": mean, "cross_entropy": cross_entropy})

    def _weights(self, target: torch.Tensor, counts: torch.Tensor, classes: int) -> torch.Tensor:
        """The weight of each voxel, (B, K, J, I); 0 where `counts` is False."""
        sizes = torch.bincount(target[counts], minlength=classes).clamp_min(1).float()
        weights = (sizes.sum() / sizes) ** self._balance
        return weights[target] * counts


def merged(logs: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Log-probabilities with those of missing structures added to the background's, (B, C, K, J, I)."""
    if not bool(missing.any()):
        return logs
    left_out = missing[:, :, None, None, None]
    nothing = torch.finfo(logs.dtype).min
    together = missing.clone()
    together[:, 0] = True
    background = torch.where(together[:, :, None, None, None], logs, nothing).logsumexp(dim=1, keepdim=True)
    return torch.cat([background, torch.where(left_out, nothing, logs)[:, 1:]], dim=1)
