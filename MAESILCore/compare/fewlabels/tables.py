"""The tables of a comparison by few labels."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.compare.fewlabels.scores import Gap, Scored, by_seed, gap_of
from MAESILCore.compare.tables import Table
from MAESILCore.downstream.segmentation.evaluate import TITLES

_NONE = "-"


def few_label_tables(config: FewLabelsConfig, scored: Scored) -> list[Table]:
    """The tables of what has scores: each score, and the differences in Dice from the baseline."""
    tables = [_scores(config, scored, score) for score in TITLES]
    if config.baseline:
        tables[1:1] = _differences(config, scored)
    return [table for table in tables if table.rows]


def _scores(config: FewLabelsConfig, scored: Scored, score: str) -> Table:
    caption = (
        f"{TITLES[score]}, mean over structures, test cases and seeds ± standard deviation over the seeds."
    )
    table = Table(caption, ("Encoder", *map(_labelled, config.shots), "Steps", "s/step", "Weights"))
    for row in config.rows:
        mine = [found for (name, _, _), found in scored.items() if name == row]
        if mine:
            cells = (_spread(by_seed(scored, row, shots, score)) for shots in config.shots)
            table.rows.append((row, *cells, *_effort(mine)))
    return table


def _differences(config: FewLabelsConfig, scored: Scored) -> list[Table]:
    """With intervals, and seed by seed if there are several."""
    interval = (
        f"Difference in Dice points (hundredths) to {config.baseline!r}, with 95 % bootstrap intervals over the test "
        "cases, of means over the seeds: an interval clear of zero is no chance of the cases."
    )
    seeds = (
        "The same seed by seed: each seed has labelled cases of its own, which the intervals do not cover."
    )
    tables = [_gaps(config, scored, interval, _with_interval)]
    if len(config.seeds) > 1:
        tables.append(_gaps(config, scored, seeds, _seed_by_seed))
    return tables


def _gaps(config: FewLabelsConfig, scored: Scored, caption: str, shown: Callable[[Gap], str]) -> Table:
    table = Table(caption, ("Encoder", *map(_labelled, config.shots)))
    for row in config.rows:
        gaps = [gap_of(config, scored, row, shots) for shots in config.shots]
        if row != config.baseline and any(gaps):
            table.rows.append((row, *(_NONE if gap is None else shown(gap) for gap in gaps)))
    return table


def _with_interval(gap: Gap) -> str:
    return f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"


def _seed_by_seed(gap: Gap) -> str:
    return ", ".join(f"{100 * one:+.1f}" for one in gap.seeds)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return _NONE
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def _effort(found: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    """Steps, seconds of a step and weights; nothing for a control."""
    facts = [one["facts"] for one in found]
    if not facts[0]["parameters"]:
        return _NONE, _NONE, _NONE
    seconds = [one["seconds_per_step"] for one in facts if one["seconds_per_step"] is not None]
    steps = sorted({int(one["steps"]) for one in facts})
    shown = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    return shown, f"{min(seconds):.2f}" if seconds else _NONE, f"{facts[0]['parameters'] / 1e6:.2f} M"


def _labelled(shots: int) -> str:
    return f"{shots} labelled"
