"""`maesil demo`: reconstructs and scores a scan, and shows a page of the results."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import Device, Model, NoBrowser
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import has_screen, show_notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from MAESILCore.data.volume import Volume

#: Voxels along k, j, i: the whole torso in one or two minutes on two cores.
_PHANTOM_SHAPE = (96, 192, 192)
#: Four masks of 75 % hide every patch at least twice, which the uncertainty needs.
_MASKS = 4


@app.command()
def demo(
    scan: Annotated[
        Path | None,
        typer.Argument(help="A CT: a file, or a folder of DICOM slices.", show_default="a phantom"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")] = Path("results"),
    model: Model = None,
    device: Device = "auto",
    no_browser: NoBrowser = False,
) -> None:
    """Reconstruct a CT, score the model against simple controls, and open a page with the results.

    Every part of the scan is hidden and predicted at least once. Without a scan, a synthetic torso is used.
    """
    from rich.console import Console

    from MAESILCore.inference import reconstruct, save_reconstruction
    from MAESILCore.lattice import MaskStrategy
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.optional import require
    from MAESILCore.report.figure import write_report_png
    from MAESILCore.report.page import write_report_html
    from MAESILCore.scoring.controls import CONTROLS
    from MAESILCore.scoring.evaluate.case import CaseOptions, evaluate_case
    from MAESILCore.scoring.reconstruction import describe_metrics

    # Fail before the work.
    for package in ("matplotlib", "PIL"):
        require(package, "The report")
    check_folder(out)
    console, strategy, seed = Console(soft_wrap=True, highlight=False), MaskStrategy(), 0
    loaded = load_checkpoint(model)
    volume = _read_or_make(scan, console)
    with watched(console, "Starting") as (progress, stopped):
        result = reconstruct(
            volume,
            loaded,
            strategy=strategy,
            seed=seed,
            coverage=_MASKS,
            device=device,
            progress=progress,
            cancelled=stopped,
        )
        options = CaseOptions(strategy, seed, 0, tuple(CONTROLS), device, None, stopped)
        case = evaluate_case(volume, loaded, options, _counted(options.parts, progress))
    # Scores use a single mask: controls need visible voxels.
    setup = {"seed": seed, "coverage": _MASKS, "scored_masks": 1, **strategy.options}
    scores = describe_metrics(result, loaded.name, setup, case)
    save_reconstruction(
        result,
        out,
        metrics=scores,
        draw_report=lambda path: write_report_png(result, volume, scores, path, model=loaded.name),
    )
    show_notes(loaded.notes, console)
    page = write_report_html(result, volume, scores, out / "report.html", card=loaded.card)
    _show(page, console, no_browser)


def _counted(total: int, progress: Callable[[int, int, str], None]) -> Callable[[], None]:
    """A callback without arguments that reports one more finished part."""
    done = itertools.count()

    def part_done() -> None:
        progress(next(done), total, "Scoring the model and the controls.")

    part_done()
    return part_done


def _read_or_make(scan: Path | None, console: Console) -> Volume:
    from MAESILCore.data.scans import read_scan

    if scan is not None:
        return read_scan(scan)
    from MAESILCore.phantom import make_phantom

    console.print("Using a synthetic torso; to use a scan, give its path.")
    return make_phantom(_PHANTOM_SHAPE).volume


def _show(page: Path, console: Console, no_browser: bool) -> None:
    """Print the place of a page, and open it if there is a screen."""
    import webbrowser

    from rich.markup import escape

    console.print(f"Report: {escape(str(page.resolve()))}")
    if not no_browser and has_screen():
        webbrowser.open(page.resolve().as_uri())
