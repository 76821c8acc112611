"""The optimiser and the learning-rate schedule of a pre-training."""

from __future__ import annotations

import math

import torch

from MAESILCore.methods.base import Method
from MAESILCore.training.config import PretrainConfig

#: First PyTorch version (major, minor) with a fused AdamW step, by device type.
_FUSED_SINCE = {"cuda": (2, 0), "cpu": (2, 4), "mps": (2, 5)}


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, and a cosine fall over the last `cooldown` of the steps; `step` counts from 0."""
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    fall_from = config.steps * (1.0 - config.cooldown)
    fall = 0.0 if step < fall_from else (step - fall_from) / max(1.0, config.steps - fall_from)
    level = config.final_learning_rate + (1.0 - config.final_learning_rate) * 0.5 * (
        1.0 + math.cos(math.pi * fall)
    )
    return config.learning_rate * rise * level


def make_optimizer(method: Method, config: PretrainConfig) -> torch.optim.Optimizer:
    """AdamW with weight decay for matrices and convolutions only, not for biases, norms and tokens.

    Weights without gradients, such as a teacher's, are left out. The method must already be on its training device.
    """
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    matrices = [weight for weight in weights if weight.ndim > 1 and min(weight.shape[:2]) > 1]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in weights if id(weight) not in chosen]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = has_fused_step(weights[0].device, torch.__version__)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def has_fused_step(device: torch.device, version: str) -> bool:
    """Whether AdamW has a fused step on a device in a PyTorch version such as "2.4.1+cpu"."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return device.type in _FUSED_SINCE and (major, minor) >= _FUSED_SINCE[device.type]
