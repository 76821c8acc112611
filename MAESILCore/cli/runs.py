"""`maesil runs`, `watch` and `stop`: the pre-trainings of a folder, started here or elsewhere."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app
from MAESILCore.cli.progress import stop_requested
from MAESILCore.errors import ConfigError
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from rich.console import Console

    from MAESILCore.jobfolder import Event
    from MAESILCore.jobs.runs import RunSummary

RunPlace = Annotated[Path, typer.Argument(help="Run folder, or its name in the default folder of runs.")]

#: Exit status of `watch` by the state in which the run ends.
_STATUS = {"finished": 0, "failed": 1, "dead": 1, "cancelled": 3}
_LOOK_SECONDS = 0.25


@app.command()
def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of runs.", show_default="MAESIL_RUNS, else ~/MAESIL/runs"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the pre-trainings in a folder, newest first, also those started elsewhere."""
    from MAESILCore.jobs.runs import RunsFolder, describe, runs_folder

    place = folder or runs_folder()
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the folder of your runs.")
    found = RunsFolder(place).refresh()
    if as_json:
        typer.echo(json.dumps([describe(run) for run in found], indent=2))
    elif found:
        _print_table(found)
    else:
        typer.echo(f"There are no runs in {displayable(place)}.")


@app.command()
def watch(run: RunPlace) -> None:
    """Watch a pre-training until it ends.

    Ctrl-C ends the watching only. The exit status is 0 for a finished run, 1 for a failed or interrupted one, and 3 for
    a stopped one.
    """
    from MAESILCore.jobs.runs import find_run

    raise typer.Exit(_watch(find_run(run)))


@app.command()
def stop(
    run: RunPlace,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the end; 0 does not wait.")] = 120.0,
) -> None:
    """Stop a pre-training, also one on another machine that shares the folder; it saves a checkpoint."""
    from MAESILCore.jobs.runs import find_run
    from MAESILCore.jobs.runs import stop as request_stop

    folder = find_run(run)
    if not request_stop(folder):
        typer.echo(f"No process works on {displayable(folder)}; there is nothing to stop.")
        return
    summary = _wait(folder, timeout)
    if summary.state == "running":
        if timeout > 0:
            raise ConfigError(
                f"{folder} has not ended within {timeout:g} s; it ends after its current step. Watch it with "
                "`maesil watch`."
            )
        typer.echo("The run will end after its current step.")
        return
    typer.echo(summary.message or f"The run is {summary.state}.")


def _wait(folder: Path, timeout: float) -> RunSummary:
    """The run once it has ended, or after `timeout` seconds."""
    from MAESILCore.jobs.runsfolder import TrackedRun

    tracked, until = TrackedRun(folder), time.monotonic() + timeout
    while True:
        summary = tracked.refresh()
        if summary is None:
            raise ConfigError(f"{folder} was removed meanwhile.")
        if summary.state != "running" or time.monotonic() >= until:
            return summary
        time.sleep(_LOOK_SECONDS)


def _watch(folder: Path) -> int:
    """Show the run until it ends; returns the exit status."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from MAESILCore.jobfolder import JobFolder, Tail
    from MAESILCore.jobs.runsfolder import TrackedRun

    console = Console()
    tracked, tail = TrackedRun(folder), Tail(JobFolder(folder))
    columns = (
        TextColumn("[bold]{task.description}[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    tail.read()  # earlier events are not printed again
    with Progress(*columns, console=console) as bar, stop_requested() as stopped:
        task = bar.add_task("Training", total=None, figures="")
        while True:
            summary = tracked.refresh()
            if summary is None:
                raise ConfigError(f"{folder} was removed meanwhile.")
            for event in tail.read():
                _print_event(console, folder, event)
            bar.update(task, total=summary.total or None, completed=summary.step, figures=_figures(summary))
            if summary.state != "running" or stopped():
                break
            time.sleep(_LOOK_SECONDS)
    if summary.state == "running":
        console.print(f"The run goes on; stop it with: maesil stop {displayable(folder)}", markup=False)
        return 130
    if summary.state == "prepared":
        raise ConfigError(f"{folder} has not been started; start it with `maesil resume`.")
    console.print(f"{summary.state}: {summary.message or _after(summary)}", markup=False, soft_wrap=True)
    return _STATUS[summary.state]


def _print_event(console: Console, folder: Path, event: Event) -> None:
    """Print what a reader wants to keep: validations, previews, and anything unusual."""
    if event.event == "preview":
        files = event.fields.get("files") or ()
        shown = ", ".join(str(folder / str(name)) for name in files)
        console.print(f"step {event.step}: preview {displayable(shown)}", markup=False, soft_wrap=True)
    elif event.event in ("validation", "skipped", "damaged", "log"):
        text = event.message or ", ".join(f"{name} {value}" for name, value in event.fields.items())
        console.print(f"step {event.step}: {text}", markup=False, soft_wrap=True)


def _after(summary: RunSummary) -> str:
    return f"after step {summary.step} of {summary.total}"


def _figures(summary: RunSummary) -> str:
    """The newest figures, or, before the first step of a process, what it does."""
    from rich.markup import escape

    if summary.state == "running" and summary.superpatches_per_second is None:
        return escape(summary.message)
    if summary.loss is None:
        return ""
    figures = [
        f"loss {summary.loss:.5f}",
        f"hidden PSNR {summary.psnr_hidden:.2f} dB" if summary.psnr_hidden is not None else _score(summary),
        ""
        if summary.superpatches_per_second is None
        else f"{summary.superpatches_per_second:.2f} superpatches/s",
    ]
    return "  ".join(filter(None, figures))


def _print_table(found: list[RunSummary]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, options in _COLUMNS.items():
        table.add_column(name, **options)
    for run in found:
        table.add_row(*(escape(cell) for cell in _cells(run)))
    Console().print(table)


_FIGURE: dict[str, Any] = {"justify": "right", "no_wrap": True}
_COLUMNS: dict[str, dict[str, Any]] = {
    # The folder's name is what the commands take; it resembles the name that the run was given.
    "Run": {"overflow": "fold", "min_width": 8},
    "Method": {"no_wrap": True},
    "State": {"no_wrap": True},
    "Step": _FIGURE,
    "Loss": _FIGURE,
    "Score": _FIGURE,
    "Time left": _FIGURE,
    "Age": _FIGURE,
}


def _cells(run: RunSummary) -> tuple[str, ...]:
    return (
        displayable(run.folder.name),
        f"{run.method} {run.preset}".strip(),
        run.state,
        f"{run.step}/{run.total}" if run.total else str(run.step),
        "" if run.loss is None else f"{run.loss:.4g}",
        _score(run),
        "" if run.seconds_left is None else _duration(run.seconds_left),
        "" if run.changed is None else _duration(time.time() - run.changed),
    )


def _score(run: RunSummary) -> str:
    """The first score of the newest validation: a PSNR of hidden or of all voxels, or the rank of features."""
    if run.score is None:
        return ""
    name, value = run.score
    if name.startswith("psnr"):
        return f"{value:.1f} dB" if name == "psnr_hidden" else f"{value:.1f} dB, all"
    return f"{name.removeprefix('feature_')} {value:.3g}"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
