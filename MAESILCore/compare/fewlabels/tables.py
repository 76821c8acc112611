"""The tables of a comparison by few labels, and its page."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.compare.fewlabels.cells import ShotCell
from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.compare.report import LATEX, PAGE, SCORES_CSV
from MAESILCore.compare.tables import Table
from MAESILCore.downstream.segmentation.evaluate import TITLES
from MAESILCore.files import write_whole

_DRAWS, _NONE = 10_000, "-"

#: Scores by row, number of labelled cases and seed.
Scored = Mapping[tuple[str, int, int], dict[str, Any]]


def few_label_tables(config: FewLabelsConfig, cells: Sequence[ShotCell]) -> list[Table]:
    """The tables of the cells that have scores: each score, and the differences in Dice from the baseline."""
    scored = {
        (cell.row, cell.shots, cell.seed): found for cell in cells if (found := cell.scores()) is not None
    }
    tables = [_scores(config, scored, score) for score in TITLES]
    if config.baseline:
        tables.insert(1, _differences(config, scored))
    return [table for table in tables if table.rows]


def _scores(config: FewLabelsConfig, scored: Scored, score: str) -> Table:
    caption = (
        f"{TITLES[score]}, mean over structures, test cases and seeds ± standard deviation over the seeds."
    )
    table = Table(caption, ("Encoder", *map(_labelled, config.shots), "Steps", "s/step", "Weights"))
    for row in config.rows:
        mine = [found for (name, _, _), found in scored.items() if name == row]
        if mine:
            cells = (_spread(_by_seed(scored, row, shots, score)) for shots in config.shots)
            table.rows.append((row, *cells, *_effort(mine)))
    return table


def _differences(config: FewLabelsConfig, scored: Scored) -> Table:
    caption = (
        f"Difference in Dice points (hundredths) from {config.baseline}, with 95 % bootstrap intervals over the test "
        "cases, of means over the seeds: an interval clear of zero is no chance of the cases."
    )
    table = Table(caption, ("Encoder", *map(_labelled, config.shots)))
    for row in config.rows:
        if row != config.baseline:
            cells = tuple(_difference(config, scored, row, shots) for shots in config.shots)
            if any(cell != _NONE for cell in cells):
                table.rows.append((row, *cells))
    return table


def _difference(config: FewLabelsConfig, scored: Scored, row: str, shots: int) -> str:
    """Mean and interval of the paired differences, in hundredths; seeds that only one row has do not count."""
    pairs = [
        (_by_case(scored[row, shots, seed]), _by_case(scored[config.baseline, shots, seed]))
        for seed in config.seeds
        if (row, shots, seed) in scored and (config.baseline, shots, seed) in scored
    ]
    names = sorted(set.intersection(*(set(here) & set(there) for here, there in pairs))) if pairs else []
    if not names:
        return _NONE
    gaps = np.array([statistics.fmean(here[name] - there[name] for here, there in pairs) for name in names])
    draws = np.random.default_rng(0).integers(len(gaps), size=(_DRAWS, len(gaps)))
    low, high = np.percentile(gaps[draws].mean(axis=1), [2.5, 97.5])
    return f"{100 * gaps.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _by_case(found: Mapping[str, Any]) -> dict[str, float]:
    """Mean Dice of each test case over its structures."""
    scores: dict[str, list[float]] = {}
    for one in found["cases"]:
        if one["dice"] is not None:
            scores.setdefault(one["case"], []).append(one["dice"])
    return {name: statistics.fmean(values) for name, values in scores.items()}


def _by_seed(scored: Scored, row: str, shots: int, score: str) -> list[float]:
    found = (
        one["structures"]["mean"][score]["mean"]
        for (name, number, _), one in scored.items()
        if (name, number) == (row, shots)
    )
    return [value for value in found if value is not None]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return _NONE
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def _effort(found: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    facts = [one["facts"] for one in found]
    seconds = [one["seconds_per_step"] for one in facts if one["seconds_per_step"] is not None]
    steps = sorted({int(one["steps"]) for one in facts})
    shown = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    return shown, f"{min(seconds):.2f}" if seconds else _NONE, f"{facts[0]['parameters'] / 1e6:.2f} M"


def _labelled(shots: int) -> str:
    return f"{shots} labelled"


def few_label_csv(cells: Sequence[ShotCell]) -> str:
    """Every score of every cell, test case and structure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "labelled", "seed", "case", "structure", *TITLES))
    for cell in cells:
        for one in (cell.scores() or {"cases": ()})["cases"]:
            scores = (one[score] for score in TITLES)
            writer.writerow((cell.row, cell.shots, cell.seed, one["case"], one["structure"], *scores))
    return text.getvalue()


def write_few_labels(
    config: FewLabelsConfig, cells: Sequence[ShotCell], out: Path, *, command: str, hardware: str
) -> list[Path]:
    """Write the page, every score as CSV, and the tables for LaTeX; returns the files.

    Args:
        config: the comparison.
        cells: its cells; those without scores are left out.
        out: the folder.
        command: the command that makes it again.
        hardware: the machine, in words.
    """
    tables = few_label_tables(config, cells)
    texts = {
        PAGE: _page(config, cells, tables, command, hardware),
        SCORES_CSV: few_label_csv(cells),
        LATEX: "\n\n".join(table.latex() for table in tables) + "\n",
    }
    for name, text in texts.items():
        with write_whole(out / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return [out / name for name in texts]


def _page(
    config: FewLabelsConfig, cells: Sequence[ShotCell], tables: Sequence[Table], command: str, hardware: str
) -> str:
    scored = [found for cell in cells if (found := cell.scores())]
    lines = [f"# {config.title}", "", f"Made by `{command}` on {hardware}.", ""]
    lines.append(f"{len(scored)} of {len(cells)} trainings are done and scored.")
    if config.data:
        lines += ["", config.data]
    if scored:
        names = list(dict.fromkeys(one["case"] for one in scored[0]["cases"]))
        lines += ["", f"{len(names)} test cases: {', '.join(names)}."]
    for table in tables:
        lines += ["", table.markdown()]
    return "\n".join(lines) + "\n"
