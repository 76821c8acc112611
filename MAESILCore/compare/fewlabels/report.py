"""The files of a comparison by few labels: a page with its tables and figure, and every score."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from MAESILCore.compare.fewlabels.cells import ShotCell
from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.compare.fewlabels.figure import draw_few_labels
from MAESILCore.compare.fewlabels.scores import Scored, scored_of
from MAESILCore.compare.fewlabels.tables import few_label_tables
from MAESILCore.compare.report import LATEX, PAGE, SCORES_CSV
from MAESILCore.compare.tables import Table
from MAESILCore.downstream.segmentation.evaluate import TITLES
from MAESILCore.files import write_whole

#: The file of the figure.
DICE = "dice.png"


def write_few_labels(
    config: FewLabelsConfig, cells: Sequence[ShotCell], out: Path, *, command: str, hardware: str
) -> list[Path]:
    """Write the page, the figure, every score as CSV, and the tables for LaTeX; returns the files.

    Args:
        config: the comparison.
        cells: its cells; those without scores are left out.
        out: the folder.
        command: the command that makes it again.
        hardware: the machine, in words.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    scored = scored_of(cells)
    tables = few_label_tables(config, scored)
    drawn = draw_few_labels(config, scored, out / DICE)
    texts = {
        PAGE: _page(config, len(cells), scored, tables, drawn, command, hardware),
        SCORES_CSV: _csv(scored),
        LATEX: "\n\n".join(table.latex() for table in tables) + "\n",
    }
    for name, text in texts.items():
        with write_whole(out / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return [*(out / name for name in texts), *([] if drawn is None else [drawn])]


def _csv(scored: Scored) -> str:
    """Every score of every cell, test case and structure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "labelled", "seed", "case", "structure", *TITLES))
    for cell, found in scored.items():
        for one in found["cases"]:
            writer.writerow((*cell, one["case"], one["structure"], *(one[score] for score in TITLES)))
    return text.getvalue()


def _page(
    config: FewLabelsConfig,
    count: int,
    scored: Scored,
    tables: Sequence[Table],
    drawn: Path | None,
    command: str,
    hardware: str,
) -> str:
    lines = [f"# {config.title}", "", f"Made by `{command}` on {hardware}.", ""]
    lines.append(
        f"{len(scored)} of {count} results are there, one for each row, seed and number of labelled scans."
    )
    if config.data:
        lines += ["", config.data]
    if scored:
        names = list(dict.fromkeys(one["case"] for one in next(iter(scored.values()))["cases"]))
        lines += ["", f"{len(names)} test cases: {', '.join(names)}."]
    if drawn is not None:
        lines += ["", f"![Dice, and its difference, by the number of labelled scans]({drawn.name})"]
    for table in tables:
        lines += ["", table.markdown()]
    return "\n".join(lines) + "\n"
