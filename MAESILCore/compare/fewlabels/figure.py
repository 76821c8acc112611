"""The figure of a comparison by few labels: Dice, and its difference from the baseline, over labelled cases."""

from __future__ import annotations

import statistics
from pathlib import Path

from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.compare.fewlabels.scores import Scored, by_seed, gap_of
from MAESILCore.compare.figures import MARKERS, written
from MAESILCore.optional import require

#: Width that the points of one number of labelled cases take, of 1 between two numbers.
_SPREAD = 0.6


def draw_few_labels(config: FewLabelsConfig, scored: Scored, path: Path) -> Path | None:
    """Draw Dice with its deviation over the seeds, and its difference with its interval; None if nothing is scored.

    Args:
        config: the comparison.
        scored: the scores of its cells.
        path: the .png file.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("matplotlib", "The figure of a comparison by few labels")
    from matplotlib.figure import Figure

    rows = [row for row in config.rows if any(name == row for name, _, _ in scored)]
    if not rows:
        return None
    figure = Figure(figsize=(9.0, 6.5 if config.baseline else 3.5), dpi=110, layout="constrained")
    axes = figure.subplots(2 if config.baseline else 1, sharex=True, squeeze=False)[:, 0]
    for number, row in enumerate(rows):
        offset = _SPREAD * ((number + 0.5) / len(rows) - 0.5)
        is_control = config.is_control(row)
        marker, colour = ("x", "black") if is_control else (MARKERS[number % len(MARKERS)], f"C{number}")
        style = {"fmt": marker, "color": colour, "capsize": 2, "markersize": 5}
        # A control is far from the networks, whose small differences would be lost in one panel with its own.
        shows_gap = config.baseline and row != config.baseline and not is_control
        for place, shots in enumerate(config.shots):
            dice = by_seed(scored, row, shots, "dice")
            if dice:
                spread = statistics.stdev(dice) if len(dice) > 1 else 0.0
                axes[0].errorbar(place + offset, statistics.fmean(dice), spread, label=row, **style)
            gap = gap_of(config, scored, row, shots) if shows_gap else None
            if gap is not None:
                mean, low, high = (100 * value for value in (gap.mean, gap.low, gap.high))
                axes[1].errorbar(place + offset, mean, [[mean - low], [high - mean]], **style)
    axes[0].set(ylabel="Dice")
    if config.baseline:
        axes[1].axhline(0.0, color="black", linewidth=0.8)
        axes[1].set(ylabel=f"Dice points over\n{config.baseline}")
    axes[-1].set(
        xlabel="labelled scans",
        xticks=range(len(config.shots)),
        xticklabels=config.shots,
        xlim=(-0.5, len(config.shots) - 0.5),
    )
    for one in axes:
        one.grid(visible=True, axis="y", alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))  # a row has a point for each number of labelled cases
    figure.legend(once.values(), once.keys(), loc="outside right upper", frameon=False)
    return written(figure, path)
