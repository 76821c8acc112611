"""Logistic regressions for many structures on one set of superpatches, at one feature level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.downstream.classification.linear import USUAL, LinearHead, fit_each, one_thread
from MAESILCore.downstream.classification.scans import stop_if
from MAESILCore.downstream.classification.scores import auroc
from MAESILCore.downstream.classification.structures import PRESENT, UNKNOWN

#: Parts of the patients, and strength of the ridge on standardised features, for the choice of the level.
_PARTS, _RIDGE = 3, 100.0
#: Logit of a structure that is everywhere or nowhere in a training part.
_SURE = 10.0


@dataclass(frozen=True, eq=False)
class Learner:
    """What structures are learned from.

    Many regressions at many levels would take hours, so that ridge regressions of all structures at once choose the
    level: the one with the highest mean AUROC of held-out patients.

    Attributes:
        levels: for each level the vectors (N, D) float64.
        targets: (N, S) of `Superpatches`.
        patients: (N,) the patient of each.
        seed: of the parts of the patients.
        level: index of the level; None chooses it.
        strength: inverse strength of the penalty.
    """

    levels: Sequence[np.ndarray]
    targets: np.ndarray
    patients: np.ndarray
    seed: int
    level: int | None
    strength: float = USUAL

    @one_thread()
    def fit(
        self, train: np.ndarray, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> list[LinearHead]:
        """A head for each structure.

        Args:
            train: (N,) bool, the superpatches to learn from.
            progress: callback with structures done and structures in all.
            cancelled: True stops the work.

        Raises:
            Cancelled: `cancelled` returned True.
        """
        level = self._best_level(train, cancelled) if self.level is None else self.level
        heads = []
        for number, column in enumerate(self.targets.T):
            stop_if(cancelled)
            progress(number, self.targets.shape[1])
            known = train & (column != UNKNOWN)
            classes = column[known].astype(np.int64)
            if len(np.unique(classes)) < 2:
                heads.append(self._constant(level, present=bool(classes.any())))
            else:
                heads += fit_each(self.levels[level][known], level, classes, [self.strength])
        return heads

    def _best_level(self, train: np.ndarray, cancelled: Callable[[], bool]) -> int:
        from sklearn.linear_model import Ridge
        from sklearn.preprocessing import StandardScaler

        patients = np.unique(self.patients[train])
        count = min(_PARTS, len(patients))
        if count < 2 or len(self.levels) == 1:
            return len(self.levels) - 1
        order = np.random.default_rng(self.seed).permutation(patients).tolist()
        part = np.array([order.index(one) % count if one in order else -1 for one in self.patients.tolist()])
        goals = np.where(self.targets == UNKNOWN, 0.5, self.targets)
        scores = np.zeros(len(self.levels))
        for level, vectors in enumerate(self.levels):
            for number in range(count):
                stop_if(cancelled)
                learn, held = train & (part != number), train & (part == number)
                scaler = StandardScaler().fit(vectors[learn])
                ridge = Ridge(_RIDGE).fit(scaler.transform(vectors[learn]), goals[learn])
                said = ridge.predict(scaler.transform(vectors[held])).reshape(int(held.sum()), -1)
                areas = [
                    auroc(said[known, n], column[known] == PRESENT)
                    for n, column in enumerate(self.targets[held].T)
                    for known in [column != UNKNOWN]
                ]
                scores[level] += np.nansum(areas)
        return int(scores.argmax())

    def _constant(self, level: int, *, present: bool) -> LinearHead:
        zeros = np.zeros(self.levels[level].shape[1])
        offset = np.array([_SURE if present else -_SURE])
        return LinearHead(level, self.strength, zeros, np.ones_like(zeros), zeros[None], offset)
