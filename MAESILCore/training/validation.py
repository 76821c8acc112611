"""Scores of a pre-training on samples that stay the same during a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from MAESILCore.methods.base import Method
from MAESILCore.nn.fill import FillCache
from MAESILCore.training.batches import stack
from MAESILCore.training.source import Sample

#: Texts of known scores; others are shown by name.
_WORDS = {
    "psnr_hidden": "hidden PSNR {:.2f} dB",
    "psnr_hidden_fill": "smooth fill {:.2f} dB",
    "psnr_full": "PSNR {:.2f} dB",
    "feature_spread": "feature spread {:.3f}",
    "feature_rank": "feature rank {:.1f}",
    "feature_covariance": "feature covariance {:.3g}",
}


class Validation:
    """Scores a method on samples. Smooth fills of the samples are solved once and kept.

    Args:
        samples: the samples; empty for no validation.
        device: the device of the method.
    """

    def __init__(self, samples: Sequence[Sample], device: torch.device) -> None:
        self._samples, self._device = samples, device
        self._fills = FillCache()

    def __bool__(self) -> bool:
        return bool(self._samples)

    def score(self, method: Method, stopped: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """Mean of `Method.validate` over the samples, scored one at a time.

        Args:
            method: in evaluation mode.
            stopped: called before each sample; True ends the validation, which then has no scores.
        """
        scores = []
        with torch.inference_mode(), self._fills:
            for sample in self._samples:
                if stopped():
                    return {}
                scores.append(method.validate(stack([sample], self._device)))
        return {name: round(sum(each[name] for each in scores) / len(scores), 4) for name in scores[0]}


def describe(scores: dict[str, float]) -> str:
    """Scores as text: the first one, then the others in parentheses."""
    first, *others = (_WORDS.get(name, name + " {:.4g}").format(value) for name, value in scores.items())
    return f"{first} ({', '.join(others)})" if others else first
