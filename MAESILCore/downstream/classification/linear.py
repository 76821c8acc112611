"""Logistic regression on pooled features; its level and strength are chosen by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from MAESILCore.downstream.classification.folds import inner_parts
from MAESILCore.downstream.classification.scans import stop_if

#: Inverse strengths of the penalty on standardised features, from strong to weak; and the one without a choice.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
USUAL = 1e-2
_ITERATIONS = 2000


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A fitted logistic regression.

    Attributes:
        level: index of the vectors that it takes.
        strength: inverse strength of the penalty.
        mean: (D,) float64, subtracted from a vector.
        scale: (D,) float64, by which it is then divided.
        weights: (K, D) float64; K is 1 for two classes.
        offsets: (K,) float64.
    """

    level: int
    strength: float
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) vectors of the level -> (N, classes) float64."""
        logits = (vectors - self.mean) / self.scale @ self.weights.T + self.offsets
        if logits.shape[1] == 1:
            logits = np.concatenate([-logits / 2, logits / 2], axis=1)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the linear algebra of small fits keep to one thread; several wait for each other more than they compute."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


@one_thread()
def fit_linear(
    levels: Sequence[np.ndarray],
    classes: np.ndarray,
    patients: np.ndarray,
    *,
    seed: int,
    cancelled: Callable[[], bool],
    level: int | None = None,
) -> LinearHead:
    """Fit a logistic regression whose classes weigh the same.

    Level and strength are those with the lowest loss of held-out patients inside these cases. With too few patients for
    that, they are the deepest level and `USUAL`.

    Args:
        levels: for each level the vectors (N, D) float64.
        classes: (N,) int64 from 0, each class at least once.
        patients: (N,) the patient of each case.
        seed: of the inner folds.
        cancelled: True stops the work.
        level: index of the level; None chooses it.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    candidates = range(len(levels)) if level is None else [level]
    parts = inner_parts(classes, patients, seed)
    if not parts:
        return fit_each(levels[candidates[-1]], candidates[-1], classes, [USUAL])[0]
    losses = np.zeros((len(candidates), len(STRENGTHS)))
    for row, candidate in enumerate(candidates):
        for train, held in parts:
            stop_if(cancelled)
            heads = fit_each(levels[candidate][train], candidate, classes[train], STRENGTHS)
            for column, head in enumerate(heads):
                found = head.probabilities(levels[candidate][held])[np.arange(len(held)), classes[held]]
                shares = np.bincount(classes)[classes[held]]
                losses[row, column] -= (np.log(np.maximum(found, 1e-12)) / shares).sum()
    row, column = divmod(int(losses.argmin()), len(STRENGTHS))
    return fit_each(levels[candidates[row]], candidates[row], classes, [STRENGTHS[column]])[0]


def fit_each(
    vectors: np.ndarray, level: int, classes: np.ndarray, strengths: Sequence[float]
) -> list[LinearHead]:
    """A fit on (N, D) vectors for each strength, whose classes weigh the same."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    vectors = scaler.fit_transform(vectors)
    # With fewer cases than features the solution lies in the span of the cases, where the fit is much faster.
    axes = None
    if vectors.shape[0] < vectors.shape[1]:
        left, values, axes = np.linalg.svd(vectors, full_matrices=False)
        vectors = left * values
    heads = []
    for strength in strengths:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            # A fit that is cut short is scored on held-out patients like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(vectors, classes)
        weights = model.coef_ if axes is None else model.coef_ @ axes
        heads.append(LinearHead(level, strength, scaler.mean_, scaler.scale_, weights, model.intercept_))
    return heads
