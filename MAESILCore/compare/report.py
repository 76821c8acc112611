"""The files of a comparison: tables, scores, a page in Markdown and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MAESILCore.compare.cells import Cell
from MAESILCore.compare.config import CompareConfig
from MAESILCore.compare.figures import draw_latent, draw_reconstructions
from MAESILCore.compare.tables import csv_of, tables_of
from MAESILCore.files import write_whole

#: Files in the folder of a comparison.
PAGE, SCORES_CSV, LATEX = "comparison.md", "comparison.csv", "comparison.tex"
LATENT, PICTURES = "latent.png", "reconstructions.png"


def write_report(
    config: CompareConfig,
    cells: Sequence[Cell],
    out: Path,
    *,
    command: str,
    hardware: str,
    example: Path | None,
    figures: bool = True,
) -> list[Path]:
    """Write all files; returns their paths.

    Args:
        config: the comparison.
        cells: its cells; those without scores are left out.
        out: the folder.
        command: the command that makes it again.
        hardware: the machine, in words.
        example: a scan whose reconstructions are drawn side by side; None draws none.
        figures: whether to draw figures at all.
    """
    tables = tables_of(config, cells)
    pictures = [draw_latent(cells, out / LATENT)] if figures else []
    if figures and example is not None:
        pictures.append(draw_reconstructions(config, cells, example, out / PICTURES))
    drawn = [picture for picture in pictures if picture is not None]
    texts = {
        PAGE: _page(config, cells, [table.markdown() for table in tables], drawn, command, hardware),
        SCORES_CSV: csv_of(cells),
        LATEX: "\n\n".join(table.latex() for table in tables) + "\n",
    }
    for name, text in texts.items():
        with write_whole(out / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return [*(out / name for name in texts), *drawn]


def _page(
    config: CompareConfig,
    cells: Sequence[Cell],
    tables: Sequence[str],
    pictures: Sequence[Path],
    command: str,
    hardware: str,
) -> str:
    scored = [found for cell in cells if (found := cell.scores())]
    setup = next((one for one in scored if "cases" in one), None)
    lines = [f"# {config.title}", "", f"Made by `{command}` on {hardware}.", ""]
    seeds = _counted(len(config.seeds), "seed")
    if len(scored) < len(cells):
        seeds = f"those of {seeds} that are done"
    lines.append(
        f"{len(scored)} of {len(cells)} trainings are done and scored. "
        f"Each number is the mean over the test scans, and of these over {seeds}; "
        "± is the standard deviation over the seeds."
    )
    if setup is not None:
        lines += ["", f"Test scans: {', '.join(setup['cases'])}."]
    for table in tables:
        lines += ["", table]
    for picture in pictures:
        lines += ["", f"![{picture.stem}]({picture.name})"]
    return "\n".join(lines) + "\n"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
