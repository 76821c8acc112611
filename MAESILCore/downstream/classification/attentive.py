"""Attentive pooling: a learned query that attends to the frozen tokens of a scan (docs/methods.md, SL-MAE)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from MAESILCore.downstream.classification.scans import stop_if
from MAESILCore.nn.cross_attention import CrossAttention

#: Optimiser steps; scans of a step; tokens of a scan in a step.
STEPS, SCANS, TOKENS = 200, 8, 512
_RATE, _DECAY, _WARM_UP = 1e-3, 5e-2, 20
#: Scans that give mean and scale of the tokens.
_SAMPLED = 64
#: Heads of the attention, the most that divide the width.
_HEADS = (6, 4, 3, 2, 1)


class AttentiveHead(nn.Module):
    """A query that cross-attends to all tokens, then an MLP.

    Args:
        width: channels C of a token.
        classes: number K of classes.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.query, std=0.02)
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, next(heads for heads in _HEADS if width % heads == 0))
        self.norm_mlp = nn.LayerNorm(width)
        inner, last = max(width // 4, classes), max(width // 8, classes)
        self.mlp = nn.Sequential(
            nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, last), nn.GELU(), nn.Linear(last, classes)
        )

    def forward(self, tokens: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens (B, N, C) -> logits (B, K); `allowed` (B, N) bool marks real tokens, None is all."""
        tokens = self.norm((tokens - self.mean) / self.scale)
        query = self.query.expand(len(tokens), -1, -1)
        pooled = query + self.attention(query, tokens, allowed)  # (B, 1, C)
        return self.mlp(self.norm_mlp(pooled[:, 0]))

    @torch.inference_mode()
    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (N, C) of one scan -> (K,) float64."""
        logits = self(torch.from_numpy(np.array(tokens, dtype=np.float32))[None])[0]
        return torch.softmax(logits.double(), dim=0).numpy()


@dataclass(frozen=True)
class AttentiveTraining:
    """Sizes of a training of the head.

    Attributes:
        steps: optimiser steps.
        scans: scans of a step.
        tokens: tokens of a scan in a step, drawn anew.
    """

    steps: int = STEPS
    scans: int = SCANS
    tokens: int = TOKENS


def fit_attentive(
    tokens: Sequence[np.ndarray],
    classes: np.ndarray,
    *,
    seed: int,
    training: AttentiveTraining,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> AttentiveHead:
    """Train a head on the CPU with AdamW and cross-entropy; each class is drawn equally often.

    Equal seeds give equal weights on one machine.

    Args:
        tokens: for each scan (N, C), which may be memory-mapped.
        classes: (scans,) int64 from 0, each class at least once.
        seed: of weights and draws.
        training: sizes.
        progress: callback with steps done and steps in all.
        cancelled: True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = AttentiveHead(tokens[0].shape[1], int(classes.max()) + 1)
    _standardise(head, tokens, training.tokens, random)
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    warm_up = min(_WARM_UP, training.steps // 2)
    members = [np.flatnonzero(classes == one) for one in range(int(classes.max()) + 1)]
    for step in range(training.steps):
        stop_if(cancelled)
        chosen = np.array(
            [random.choice(members[random.integers(len(members))]) for _ in range(training.scans)]
        )
        batch, allowed = _batch([tokens[one] for one in chosen], training.tokens, random)
        loss = F.cross_entropy(head(batch, allowed), torch.from_numpy(classes[chosen]))
        done = (step - warm_up) / max(training.steps - warm_up, 1)
        factor = (step + 1) / (warm_up + 1) if step < warm_up else 0.5 * (1.0 + math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = _RATE * factor
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        progress(step + 1, training.steps)
    return head.eval()


def _standardise(
    head: AttentiveHead, tokens: Sequence[np.ndarray], most: int, random: np.random.Generator
) -> None:
    """Set mean and scale of the head to those of some tokens of some scans."""
    scans = random.permutation(len(tokens))[:_SAMPLED]
    some = np.concatenate([_some(tokens[scan], most, random) for scan in scans])
    head.mean.copy_(torch.from_numpy(some.mean(axis=0)))
    head.scale.copy_(torch.from_numpy(np.maximum(some.std(axis=0), 1e-4)))


def _some(tokens: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """At most so many of the tokens (N, C), as float32."""
    places = np.sort(random.permutation(len(tokens))[:most])
    return np.asarray(tokens[places], dtype=np.float32)


def _batch(
    tokens: Sequence[np.ndarray], most: int, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (B, N, C) and which of them are no padding, (B, N) bool."""
    drawn = [_some(one, most, random) for one in tokens]
    longest = max(map(len, drawn))
    allowed = np.array([np.arange(longest) < len(one) for one in drawn])
    padded = np.stack([np.pad(one, [(0, longest - len(one)), (0, 0)]) for one in drawn])
    return torch.from_numpy(padded), torch.from_numpy(allowed)
