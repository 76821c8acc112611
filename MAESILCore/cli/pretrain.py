"""`maesil pretrain`: trains a model on unlabelled scans."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import Device
from MAESILCore.cli.progress import stop_requested
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError
from MAESILCore.methods import BUILT_IN
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Progress as Bar

    from MAESILCore.jobfolder import Event, EventCallback


#: Signals of schedulers: SLURM sends SIGTERM on a preemption, and SIGUSR1 before the end of the time if it is asked to.
_SCHEDULER = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]


@app.command()
def pretrain(
    scans: Annotated[
        list[Path], typer.Argument(help="A store, or scans: files, DICOM folders, or folders of such.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder, created if missing.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe: a YAML file, or a bundled name such as maesil-small-ct."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Method: {', '.join(BUILT_IN)}, or one of another package.",
            show_default="of the recipe, else maesil",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named size of the method; an unknown name lists all.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Total optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, crops and masks.")] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Glob of scans for validation only, such as 's1*'; repeatable.")
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(help="Checkpoint or run folder with the initial weights.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")] = False,
    device: Device = "auto",
) -> None:
    """Pre-train a model on unlabelled scans by self-supervision.

    Ctrl-C stops after the current step and saves a checkpoint; --resume continues from there with the same results
    as an uninterrupted run. Patterns match the path below the folder, a folder on it or the end of it, and each must
    match a scan.
    """
    from MAESILCore.optional import require

    for package in ("yaml", "lightning_fabric"):
        require(package, "Pre-training")
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.training import Run, load_config
    from MAESILCore.training import pretrain as train
    from MAESILCore.training.scans import data_at

    given: dict[str, Any] = {"method": method, "preset": preset, "steps": steps, "batch_size": batch_size}
    # Cards are UTF-8, and patterns are matched with displayable names.
    given |= {"seed": seed, "hold_out": tuple(map(displayable, hold_out)) if hold_out else None}
    overrides = {name: value for name, value in given.items() if value is not None}
    start = load_checkpoint(initial) if initial is not None else None
    show_notes(start.notes if start is not None else (), _console())
    if resume:
        fixed = set(overrides) - {"steps"}
        if recipe is not None or initial is not None or fixed:
            raise ConfigError("A resumed run keeps its recipe: only --steps may be given with --resume.")
        run = Run.open(out)
        config = run.config(overrides)
        data = data_at(scans)
    else:
        config = load_config(recipe, overrides)
        data = data_at(scans)
        run = Run.create(out)

    def work(progress: EventCallback, cancelled: Callable[[], int]) -> Path:
        return train(run, config, data, device=device, progress=progress, cancelled=cancelled, initial=start)

    _watch(work)


def _watch(work: Callable[[EventCallback, Callable[[], int]], Path]) -> None:
    """Run the work with a progress bar; the first Ctrl-C stops it after the current step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console()
    columns = (
        TextColumn("[bold]Pre-training[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar, stop_requested(_SCHEDULER) as stopped:
        task = bar.add_task("train", total=None, figures="")
        model = work(lambda state: _show(bar, task, state), stopped)
    console.print(f"Model: {model}")


def _console() -> Console:
    from rich.console import Console

    # Under torchrun only the first process prints.
    return Console(quiet=os.environ.get("RANK", "0") != "0")


def _show(bar: Bar, task: Any, event: Event) -> None:  # noqa: ANN401 - rich's task id is a private alias of int
    bar.update(task, total=event.total, completed=event.step)
    if event.event == "step":
        loss, speed = event.fields["loss"], event.fields["superpatches_per_second"]
        bar.update(task, figures=f"loss {loss:.5f}  {speed:.2f} superpatches/s")
    if event.message:
        bar.console.print(f"step {event.step}: {event.message}", markup=False)
