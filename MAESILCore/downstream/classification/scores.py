"""Scores of probabilities, with bootstrap intervals over patients.

AUROC, accuracy, balanced accuracy and F1 are those of scikit-learn, which the tests compare. They are computed here
since a thousand draws of four rows would take half a minute there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
from scipy.stats import rankdata

from MAESILCore.downstream.classification.scans import stop_if

Key = TypeVar("Key", bound=Hashable)

#: Draws of the bootstrap, and the percentiles that bound an interval.
DRAWS = 1000
_INTERVAL = (2.5, 97.5)


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs of a positive and a negative that the scores put in order; NaN without such pairs.

    Args:
        scores: (N,) numbers.
        positive: (N,) bool.
    """
    hits = int(positive.sum())
    misses = len(positive) - hits
    if not hits or not misses:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def scores_of(probabilities: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """The scores of a classifier.

    Args:
        probabilities: (N, K).
        classes: (N,) int64, the true classes.

    Returns:
        `auroc`: of two classes, or the mean over classes of each against the others. `accuracy`, and
        `balanced_accuracy`, the mean over classes. `f1`, the mean over classes. NaN where a class has no case.
    """
    count = probabilities.shape[1]
    ranked = range(1, 2) if count == 2 else range(count)
    areas = [auroc(probabilities[:, one], classes == one) for one in ranked]
    chosen = probabilities.argmax(axis=1)
    table = np.bincount(classes * count + chosen, minlength=count * count).reshape(count, count)
    hits, true, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    there = true > 0
    f1 = 2 * hits / np.maximum(true + said, 1)
    return {
        "auroc": float(np.mean(areas)),
        "accuracy": float(hits.sum() / table.sum()),
        "balanced_accuracy": float((hits[there] / true[there]).mean()),
        "f1": float(f1[(true + said) > 0].mean()),
    }


def with_intervals(
    score: Callable[[np.ndarray], Mapping[Key, float]],
    patients: np.ndarray,
    *,
    seed: int,
    cancelled: Callable[[], bool],
    draws: int = DRAWS,
) -> dict[Key, dict[str, Any]]:
    """Scores with percentile bootstrap intervals over patients.

    Args:
        score: indices of cases, which may repeat -> scores by name.
        patients: (N,) the patient of each case.
        seed: of the draws.
        cancelled: True stops the work.
        draws: number of draws.

    Returns:
        For each score `value`, `low` and `high` (95 %), and `draws`, those in which it is defined; None for NaN.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    values = score(np.arange(len(patients)))
    members = [np.flatnonzero(patients == one) for one in np.unique(patients)]
    random = np.random.default_rng(seed)
    drawn: dict[Key, list[float]] = {name: [] for name in values}
    for _ in range(draws):
        stop_if(cancelled)
        chosen = random.integers(len(members), size=len(members))
        for name, value in score(np.concatenate([members[one] for one in chosen])).items():
            if np.isfinite(value):
                drawn[name].append(value)
    return {name: _interval(value, drawn[name]) for name, value in values.items()}


def _interval(value: float, drawn: list[float]) -> dict[str, Any]:
    low, high = np.percentile(drawn, _INTERVAL).tolist() if drawn else (None, None)
    return {"value": value if np.isfinite(value) else None, "low": low, "high": high, "draws": len(drawn)}
