"""The trainings of a comparison by few labels: each is a run folder with its scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from MAESILCore.compare.cells import Scored
from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.errors import ConfigError

#: The folder of the pre-trainings.
PRETRAINING = "pretraining"


@dataclass(frozen=True)
class ShotCell(Scored):
    """One segmentation training.

    Attributes:
        shots: number of labelled cases.
        row: a key of `FewLabelsConfig.rows`.
        seed: seed of the training and of the choice of its cases.
        folder: the folder of the run; its scores lie beside the run's files.
    """

    shots: int
    row: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Name for people."""
        return f"{self.row}, {self.shots} labelled, seed {self.seed}"


def shot_cells(config: FewLabelsConfig, out: Path) -> Iterator[ShotCell]:
    """All cells, seed by seed, so that a stopped comparison has whole tables."""
    for seed in config.seeds:
        for shots in config.shots:
            for row in config.rows:
                yield ShotCell(shots, row, seed, out / f"shots-{shots}" / f"{row}-seed{seed}")


def split_cases(config: FewLabelsConfig, cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """The pool and the test cases.

    Raises:
        ConfigError: a pattern of `tests` fits no case, or the pool is smaller than the largest number of labelled
            cases.
    """
    for pattern in config.tests:
        if not any(fnmatchcase(case.name, pattern) for case in cases):
            raise ConfigError(f"No case fits the pattern {pattern!r} of `tests`.")
    tests = [case for case in cases if any(fnmatchcase(case.name, pattern) for pattern in config.tests)]
    pool = [case for case in cases if case not in tests]
    if len(pool) < max(config.shots):
        raise ConfigError(
            f"{len(pool)} cases are left to learn from, but {max(config.shots)} are asked for: choose fewer `shots`."
        )
    both = {case.patient for case in tests if case.patient} & {case.patient for case in pool}
    if both:
        raise ConfigError(
            f"The patient {sorted(both)[0]} is in the pool and among the tests: keep them apart."
        )
    return pool, tests


def chosen_cases(pool: Sequence[Case], seed: int, shots: int) -> list[Case]:
    """The labelled cases of a cell; more of them include the fewer ones of the same seed."""
    order = np.random.default_rng(seed).permutation(len(pool))
    return [replace(pool[place], validation=False) for place in order[:shots]]
