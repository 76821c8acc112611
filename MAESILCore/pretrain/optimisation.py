"""The optimiser of a pre-training and the learning rate of each of its steps."""

from __future__ import annotations

import math

import torch

from MAESILCore.methods import Method
from MAESILCore.pretrain.config import PretrainConfig


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
    """AdamW that decays matrices and convolutions, and leaves biases, norms and tokens alone."""
    matrices = [weight for weight in method.parameters() if weight.ndim > 1 and min(weight.shape[:2]) > 1]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in method.parameters() if id(weight) not in chosen]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
