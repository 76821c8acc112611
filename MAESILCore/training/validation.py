"""Scores of a pre-training on samples that stay the same during a run."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from MAESILCore.methods.base import Method
from MAESILCore.training.batches import stack
from MAESILCore.training.source import Sample

#: Texts of known scores; others are shown by name.
_WORDS = {
    "psnr_hidden": "hidden PSNR {:.2f} dB",
    "psnr_hidden_fill": "smooth fill {:.2f} dB",
    "psnr_full": "PSNR {:.2f} dB",
    "feature_spread": "feature spread {:.3f}",
    "feature_rank": "feature rank {:.1f}",
}


def score(method: Method, samples: Sequence[Sample], device: torch.device) -> dict[str, float]:
    """Mean of `Method.validate` over samples, scored one at a time."""
    with torch.inference_mode():
        scores = [method.validate(stack([sample], device)) for sample in samples]
    return {name: round(sum(each[name] for each in scores) / len(scores), 4) for name in scores[0]}


def describe(scores: dict[str, float]) -> str:
    """Scores as text: the first one, then the others in parentheses."""
    first, *others = (_WORDS.get(name, name + " {:.4g}").format(value) for name, value in scores.items())
    return f"{first} ({', '.join(others)})" if others else first
