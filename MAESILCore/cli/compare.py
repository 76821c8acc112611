"""`maesil compare`: trains methods at equal budgets and scores them on the same scans."""

from __future__ import annotations

import platform
import shlex
from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import Device
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.wording import displayable


@app.command()
def compare(
    comparison: Annotated[
        Path, typer.Argument(help="The comparison: a YAML file, or a bundled name such as ct.")
    ],
    scans: Annotated[Path, typer.Option(help="Scans for training: a folder or a store.")],
    tests: Annotated[Path, typer.Option(help="Scans for the scores, of other subjects.")],
    out: Annotated[Path, typer.Option(help="Folder of the comparison, created if missing.")],
    example: Annotated[
        Path | None, typer.Option(help="A scan whose reconstructions are drawn side by side.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Train methods at equal budgets and score them on the same scans, as tables and figures.

    Ctrl-C stops and keeps what is done; the same command goes on from there. Each training is a run folder in --out.
    """
    from rich.console import Console

    from MAESILCore.compare import compare as compare_methods
    from MAESILCore.compare import load_comparison
    from MAESILCore.compare.report import write_report
    from MAESILCore.devices import describe_device, pick_device
    from MAESILCore.optional import require

    config = load_comparison(comparison)
    require("matplotlib", "The figures of a comparison")
    check_folder(out)
    with watched(Console(stderr=True), "Comparing") as (progress, stopped):
        cells = compare_methods(
            config, [scans], [tests], out, device=device, progress=progress, cancelled=stopped
        )
        progress(len(cells), len(cells), "Drawing the figures.")
        words = ["maesil", "compare", comparison.name, "--scans", scans.name, "--tests", tests.name]
        words += ["--example", example.name] if example is not None else []
        files = write_report(
            config,
            cells,
            out,
            command=displayable(shlex.join([*words, "--out", out.name])),
            hardware=f"{describe_device(pick_device(device))} ({platform.machine()})",
            example=example,
        )
    for file in files:
        typer.echo(file)
