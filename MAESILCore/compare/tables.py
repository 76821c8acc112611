"""The tables of a comparison as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from MAESILCore.compare.cells import Cell
from MAESILCore.compare.config import CompareConfig
from MAESILCore.scoring.evaluate.table import latent_size

#: Scores of hidden voxels: where they are in the summary of an evaluation, heading and decimals.
HIDDEN = (
    (("psnr_hidden",), "PSNR hidden (dB)", 2),
    (("psnr_hidden_body",), "in the body (dB)", 2),
    (("soft_tissue", "psnr_hidden_body"), "in the body, soft tissue (dB)", 2),
    (("ssim_hidden",), "SSIM hidden", 3),
    (("psnr_full",), "PSNR full (dB)", 2),
)
#: Scores of a pass in which nothing is hidden.
SHOWN = (
    (("psnr_unmasked",), "PSNR (dB)", 2),
    (("ssim_unmasked",), "SSIM", 3),
    (("soft_tissue", "psnr_unmasked"), "PSNR, soft tissue (dB)", 2),
    (("soft_tissue", "ssim_unmasked"), "SSIM, soft tissue", 3),
)
_NONE = "-"

Path = Sequence[str]
#: The scores of the cells of each row.
Rows = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: one sentence on what its numbers are.
        headings: one per column; the first column names the rows.
        rows: cells as text.
    """

    caption: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def markdown(self) -> str:
        """The table with its caption as Markdown."""
        lines = [self.headings, ("---", *["---:"] * (len(self.headings) - 1)), *self.rows]
        return "\n".join([self.caption, "", *(f"| {' | '.join(line)} |" for line in lines)])

    def latex(self) -> str:
        """The table with its caption as LaTeX, for the package booktabs."""
        body = [r" & ".join(map(_latex, row)) + r" \\" for row in self.rows]
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.headings) - 1)}}}",
                r"\toprule",
                " & ".join(map(_latex, self.headings)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )


def tables_of(config: CompareConfig, cells: Sequence[Cell]) -> list[Table]:
    """All tables of the cells that have scores, view by view."""
    tables: list[Table] = []
    every = [found for cell in cells if (found := cell.scores()) is not None]
    controls: dict[str, Any] = next((found["controls"] for found in every if "controls" in found), {})
    for view in sorted(config.views):
        scored = {
            row: [
                {**found, "seed": cell.seed}
                for cell in cells
                if (cell.view, cell.row) == (view, row) and (found := cell.scores())
            ]
            for row in config.methods
        }
        rows = {row: found for row, found in scored.items() if found}
        tables += [table for table in _tables_of(view, config, rows, controls) if table.rows]
    return tables


def _tables_of(view: str, config: CompareConfig, rows: Rows, controls: Mapping[str, Any]) -> Iterator[Table]:
    for name, strategy in config.evaluation.strategies().items():
        caption = (
            f"{_BUDGETS[view]}. Hidden voxels only: {strategy.hidden_share:.0%} hidden by the masks {name}."
        )
        yield _hidden(name, caption, rows, controls.get(name, {}))
        if config.baseline:
            yield _differences(name, f"{_BUDGETS[view]}, masks {name}", config.baseline, rows)
    yield _shown(f"{_BUDGETS[view]}. Nothing hidden: the models copy what they see.", rows)
    yield _features(f"{_BUDGETS[view]}. Features of held-out crops of the training scans.", rows)


def _hidden(masks: str, caption: str, rows: Rows, controls: Mapping[str, Any]) -> Table:
    """Models that hide patches, then the fills without learning."""
    table = Table(caption, ("Method", *(heading for _, heading, _ in HIDDEN), "Steps", "s/step"))
    for row, found in rows.items():
        if any(masks in one["masks"] and one["facts"]["hides"] for one in found):
            scores = (
                _cell((_score(one, masks, path) for one in found), digits) for path, _, digits in HIDDEN
            )
            table.rows.append((row, *scores, *_effort(found)))
    for control, summary in controls.items() if table.rows else ():
        scores = (_cell([_at(summary, path)], digits) for path, _, digits in HIDDEN)
        table.rows.append((f"{control} (control)", *scores, _NONE, _NONE))
    return table


def _differences(masks: str, budget: str, baseline: str, rows: Rows) -> Table:
    """What each row has over the baseline, for the same seed and the same masks."""
    caption = (
        f"{budget}. Difference from {baseline} on hidden voxels, seed by seed: what exceeds its ± several times "
        "is no chance of the seeds."
    )
    table = Table(caption, ("Method", *(heading for _, heading, _ in HIDDEN)))
    base = {one["seed"]: one for one in rows.get(baseline, ()) if masks in one["masks"]}
    for row, found in rows.items():
        pairs = [(one, base[one["seed"]]) for one in found if masks in one["masks"] and one["seed"] in base]
        if row != baseline and pairs:
            scores = (_cell(_gaps(pairs, masks, path), digits, signed=True) for path, _, digits in HIDDEN)
            table.rows.append((row, *scores))
    return table


def _gaps(
    pairs: Iterable[tuple[dict[str, Any], dict[str, Any]]], masks: str, path: Path
) -> Iterator[float | None]:
    for one, other in pairs:
        here, there = _score(one, masks, path), _score(other, masks, path)
        yield None if here is None or there is None else here - there


def _shown(caption: str, rows: Rows) -> Table:
    """All models with an unmasked pass, with their latent sizes."""
    headings = (
        "Method",
        "Latent values per voxel",
        *(heading for _, heading, _ in SHOWN),
        "Parameters",
        "Steps",
    )
    table = Table(caption, headings)
    for row, found in rows.items():
        masks = next(iter(found[0]["masks"]), None)
        scores = [_cell((_score(one, masks, path) for one in found), digits) for path, _, digits in SHOWN]
        if any(score != _NONE for score in scores):
            facts = found[0]["facts"]
            latent = latent_size(facts)
            size = f"{facts['parameters'] / 1e6:.2f} M"
            table.rows.append((row, latent, *scores, size, _effort(found)[0]))
    return table


def _features(caption: str, rows: Rows) -> Table:
    """Methods without voxels, which are watched by their features."""
    table = Table(caption, ("Method", "Spread", "Effective rank", "Steps"))
    for row, found in rows.items():
        scores = [one["facts"]["validation"] for one in found]
        if any("feature_rank" in one for one in scores):
            spread = _cell((one.get("feature_spread") for one in scores), 3)
            rank = _cell((one.get("feature_rank") for one in scores), 1)
            table.rows.append((row, spread, rank, _effort(found)[0]))
    return table


_BUDGETS = {"steps": "Equal steps", "time": "Equal time"}


def csv_of(cells: Iterable[Cell]) -> str:
    """All scores of all cells in long form, one line per cell, mask, window and score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["view", "row", "method", "seed", "steps", "masks", "window", "score", "mean", "sd", "scans"]
    )
    for cell in cells:
        found = cell.scores()
        for masks, summary in (found["masks"] if found else {}).items():
            facts = found["facts"] if found else {}
            windows = {"model": summary, "soft tissue": summary.get("soft_tissue", {})}
            for window, scores in windows.items():
                for score, spread in scores.items():
                    if "mean" in spread and spread["mean"] is not None:
                        values = [spread["mean"], spread["sd"], spread["n"]]
                        start = [cell.view, cell.row, facts["method"], cell.seed, facts["steps"], masks]
                        writer.writerow([*start, window, score, *values])
    return text.getvalue()


def _score(found: Mapping[str, Any], masks: str | None, path: Path) -> float | None:
    return _at(found["masks"][masks], path) if masks in found["masks"] else None


def _at(summary: Mapping[str, Any], path: Path) -> float | None:
    """The mean over the scans of a score; None if it is not defined."""
    place: Any = summary
    for name in path:
        place = place.get(name, {})
    mean: float | None = place.get("mean")
    return mean


def _cell(values: Iterable[float | None], digits: int, *, signed: bool = False) -> str:
    """Mean over the seeds, with its standard deviation if there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return _NONE
    mean = f"{statistics.fmean(known):{'+' if signed else ''}.{digits}f}"
    return f"{mean} ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else mean


def _effort(found: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Steps, and seconds per step of the fastest seed: a busy machine only makes them longer."""
    known = [
        one["facts"]["seconds_per_step"] for one in found if one["facts"]["seconds_per_step"] is not None
    ]
    return str(found[0]["facts"]["steps"]), f"{min(known):.2g}" if known else _NONE


def _latex(text: str) -> str:
    for plain, escaped in (("%", r"\%"), ("_", r"\_"), ("&", r"\&"), ("±", r"$\pm$")):
        text = text.replace(plain, escaped)
    return text
