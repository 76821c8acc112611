"""`maesil app`: the same work as in 3D Slicer, in a browser.

The entry point `app` of the group `maesil.commands` in pyproject.toml names `serve`; MAESILCore.cli loads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli.options import Device, NoBrowser
from MAESILCore.cli.terminal import has_screen


def serve(
    scans: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SCAN]...",
            help="CTs to offer: files, and folders with such files or DICOM slices.",
            show_default="a phantom",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own requires an access token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MAESIL_TOKEN",
            help="Access token that browsers must send.",
            show_default="none if only this machine can reach the page, else random",
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Public address of the page behind a reverse proxy, such as https://host.example/maesil/.",
            show_default="the address of the server itself",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint file or name of a bundled model.", show_default="bundled")
    ] = None,
    models: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Offer the checkpoints in and below this folder; may be given several times.",
            show_default="bundled models only",
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Offer pre-training on this folder of scans, or store; may be given several times.",
            show_default="none",
        ),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Folder of the runs that the page lists and starts.",
            show_default="with --data, MAESIL_RUNS or ~/MAESIL/runs; else none",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Index of maesil index, in whose scans the page finds similar places, too.",
            show_default="none",
        ),
    ] = None,
    device: Device = "auto",
    no_browser: NoBrowser = False,
) -> None:
    """Open a page with a CT, its superpatches and masks; fill it in, and compare. Ctrl-C ends it."""
    from rich.console import Console

    from MAESILCore.cli.terminal import show_left_out
    from MAESILCore.data.formats.discovery import discover_scans
    from MAESILCore.jobs.runs import runs_folder
    from MAESILCore.optional import require

    require("trame_slicer", "The page")
    # After `require`, because these modules import trame_slicer.
    from MAESILSlicerLib.web.options import MOST_SCANS, AppOptions
    from MAESILSlicerLib.web.server import serveApp

    found = discover_scans(scans) if scans else None
    if found is not None:
        notes = Console(stderr=True, soft_wrap=True, highlight=False)
        show_left_out(found.left_out, notes)
        more = len(found.scans) - MOST_SCANS
        if more > 0:
            notes.print(f"[yellow]Left out:[/] {more} of {len(found.scans)} scans; name fewer to see them")
    options = AppOptions(
        scans=found or (),
        port=port,
        host=host,
        token=token,
        openBrowser=not no_browser and has_screen(),
        device=device,
        model=model,
        modelFolders=tuple(models or ()),
        data=tuple(data or ()),
        index=index,
        runs=runs or (runs_folder() if data else None),
        publicUrl=public_url,
    )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    serveApp(options, lambda address: console.print(f"MAESIL is at {address} (ctrl-C ends it)"))
