"""The scores of a comparison by few labels: seed by seed, and as differences from its baseline."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MAESILCore.compare.fewlabels.cells import ShotCell
from MAESILCore.compare.fewlabels.config import FewLabelsConfig

_DRAWS = 10_000

#: Scores by row, number of labelled cases and seed.
Scored = Mapping[tuple[str, int, int], dict[str, Any]]


@dataclass(frozen=True)
class Gap:
    """The difference in Dice of a row from the baseline, with the same labelled cases; 0.01 is a Dice point.

    Attributes:
        mean: mean over test cases and seeds.
        low: lower end of the 95 % bootstrap interval over the test cases, of means over the seeds.
        high: upper end of it.
        seeds: means over the test cases, for each seed that both have.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]


def scored_of(cells: Sequence[ShotCell]) -> Scored:
    """The cells that have scores."""
    return {(cell.row, cell.shots, cell.seed): found for cell in cells if (found := cell.scores())}


def by_seed(scored: Scored, row: str, shots: int, score: str) -> list[float]:
    """A score, mean over structures and test cases, for each seed that has it."""
    found = (
        one["structures"]["mean"][score]["mean"]
        for (name, number, _), one in scored.items()
        if (name, number) == (row, shots)
    )
    return [value for value in found if value is not None]


def gap_of(config: FewLabelsConfig, scored: Scored, row: str, shots: int) -> Gap | None:
    """The paired difference of a row from the baseline; None without a seed and a case that both have."""
    pairs = [
        (_by_case(scored[row, shots, seed]), _by_case(scored[config.baseline, shots, seed]))
        for seed in config.seeds
        if (row, shots, seed) in scored and (config.baseline, shots, seed) in scored
    ]
    names = sorted(set.intersection(*(set(here) & set(there) for here, there in pairs))) if pairs else []
    if not names:
        return None
    gaps = np.array([[here[name] - there[name] for name in names] for here, there in pairs])
    cases = gaps.mean(axis=0)
    draws = np.random.default_rng(0).integers(len(cases), size=(_DRAWS, len(cases)))
    low, high = np.percentile(cases[draws].mean(axis=1), [2.5, 97.5])
    return Gap(float(cases.mean()), float(low), float(high), tuple(gaps.mean(axis=1).tolist()))


def _by_case(found: Mapping[str, Any]) -> dict[str, float]:
    """Mean Dice of each test case over its structures."""
    scores: dict[str, list[float]] = {}
    for one in found["cases"]:
        if one["dice"] is not None:
            scores.setdefault(one["case"], []).append(one["dice"])
    return {name: statistics.fmean(values) for name, values in scores.items()}
