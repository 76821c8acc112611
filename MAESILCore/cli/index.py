"""`maesil index`: makes the scans of a folder searchable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli import app, options
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import show_notes

#: Most left-out scans in the terminal; index.json lists all.
_MOST = 10


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of scans, with all folders below it.")],
    out: Annotated[Path, typer.Option(help="Folder of the index, created if missing.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint file, run folder or name of a bundled model.",
            show_default="that of the index, or bundled",
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(
            help="Depth of the network, from 0; negative ones count from the deepest.",
            show_default="that of the index, or the deepest",
        ),
    ] = None,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
) -> None:
    """Index the features of all scans of a folder, for maesil search.

    Run it again to add new and changed scans and to remove those that are gone, or after it was stopped or killed;
    scans that are in the index are not read again. The index names scans by their path below the folder, and holds
    nothing else of their headers than the geometry: rename files that are named after patients.
    """
    from rich.console import Console

    from MAESILCore.data.formats.names import with_name
    from MAESILCore.downstream.search.building import build_index

    check_folder(out)
    console = Console(stderr=True)
    with watched(console, "Looking for scans") as (progress, stopped):
        summary = build_index(
            folder,
            out,
            model=model,
            level=level,
            batch_size=batch_size,
            device=device,
            progress=progress,
            cancelled=stopped,
        )
    show_notes((with_name(*one) for one in summary.left_out[:_MOST]), console, "Left out")
    more = len(summary.left_out) - _MOST
    show_notes([f"{more} more; index.json lists all"] if more > 0 else [], console, "Left out")
    Console(soft_wrap=True, highlight=False).print(
        f"Index: {out} holds {summary.rows} places of {summary.scans} scans ({summary.added} read now, "
        f"{len(summary.left_out)} left out).",
        markup=False,
    )
