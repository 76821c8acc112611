"""`maesil prepare`: collects scans in a store for pre-training."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from MAESILCore.store.ingest import Spacing

#: Most quarantined files in the terminal; quarantine.csv lists all.
_MOST = 10
#: Accepted voxel edges.
_SMALLEST_MM, _LARGEST_MM = 0.05, 50.0


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder of the store, created if missing.")],
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Scans: files, DICOM folders, or folders of such.")
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="MM[,MM,MM]",
            help="Resample to this spacing along i, j, k.",
            show_default="as they are",
        ),
    ] = None,
    without_hu: Annotated[
        bool,
        typer.Option("--without-hu", help="Make a store of scans without HU, such as MRI, of any values."),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Processes that read scans.", show_default="one per core"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Scheduler of a Dask cluster to use instead, such as tcp://host:8786."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Verify all checksums of the store in --out, and add nothing.")
    ] = False,
) -> None:
    """Collect scans in a store: compressed, without duplicates, and quick to draw crops from.

    Run it again to add scans, or after it was stopped or killed; scans that are in the store are not read again.
    quarantine.csv lists the files that are not used, with reasons. The store names scans by their path below the given
    folder, and holds nothing else of their headers than the geometry: rename files that are named after patients.
    """
    from MAESILCore.optional import require

    for package in ("zarr", "joblib"):
        require(package, "A store")
    if check:
        if folders or spacing or without_hu or cluster:
            raise ConfigError(
                "--check looks at the store in --out alone: leave out folders and other options."
            )
        _check(out, jobs or _cores())
        return
    if not folders:
        raise ConfigError("Give the folders with scans, or --check to verify the store.")
    _prepare(folders, out, _spacing(spacing), without_hu, jobs or _cores(), cluster)


def _prepare(
    folders: list[Path], out: Path, spacing: Spacing | None, without_hu: bool, jobs: int, cluster: str | None
) -> None:
    from rich.console import Console

    from MAESILCore.store.preparing import prepare as add

    console = Console(stderr=True)
    with _bar(console, "Preparing") as progress:
        summary = add(
            folders,
            out,
            spacing=spacing,
            without_hu=without_hu,
            jobs=jobs,
            cluster=cluster,
            progress=progress,
        )
    show_notes((f"{file}: {reason}" for file, reason in summary.quarantined[:_MOST]), console, "Quarantined")
    Console().print(
        f"Store: {out} holds {_counted(summary.scans, 'scan')} ({summary.added} new). quarantine.csv lists "
        f"{_counted(summary.duplicates, 'duplicate')} and {_counted(len(summary.quarantined), 'unusable file')}.",
        markup=False,
        soft_wrap=True,
    )


def _check(out: Path, jobs: int) -> None:
    from rich.console import Console

    from MAESILCore.store.checking import check

    console = Console(stderr=True)
    with _bar(console, "Checking") as progress:
        scans, damages = check(out, jobs=jobs, progress=progress)
    show_notes(damages, console, "Damaged")
    if damages:
        raise ConfigError(
            f"The store {out} has {_counted(len(damages), 'damage')}: delete the named folders, and run maesil "
            "prepare again, which reads their scans anew."
        )
    Console().print(
        f"Store: {out} holds {_counted(scans, 'scan')}, and all checksums fit.", markup=False, soft_wrap=True
    )


@contextmanager
def _bar(console: Console, description: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar by bytes. Ctrl-C is not caught: the store is valid at any moment."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(f"[bold]{description}[/]"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[message]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=None, message="looking for scans")

        def progress(done: int, total: int, message: str) -> None:
            bar.update(task, total=total, completed=done, message=message)

        yield progress


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _spacing(text: str | None) -> Spacing | None:
    """Three edges in mm from "1" or "0.7,0.7,2.5"."""
    if text is None:
        return None
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    i, j, k = edges * 3 if len(edges) == 1 else edges if len(edges) == 3 else (0.0, 0.0, 0.0)
    if not all(_SMALLEST_MM <= edge <= _LARGEST_MM for edge in (i, j, k)):
        raise ConfigError(
            f"--spacing {text} is not understood: give one edge in mm, such as 1.5, or three along i, j, k, "
            "such as 0.7,0.7,2.5."
        )
    return i, j, k
