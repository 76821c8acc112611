"""`maesil pretrain` and `maesil resume`: train a model on unlabelled scans, here or in the background."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import SCHEDULER, app
from MAESILCore.cli.options import Device
from MAESILCore.cli.progress import stop_requested
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError
from MAESILCore.methods import BUILT_IN
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.progress import Progress as Bar

    from MAESILCore.data.formats.discovery import Discovery
    from MAESILCore.jobfolder import Event, EventCallback
    from MAESILCore.jobs.pretraining import PretrainingRequest
    from MAESILCore.models.checkpoint import LoadedModel
    from MAESILCore.training import PretrainConfig, Run

#: Seconds that a background process may take to start Python.
_START_SECONDS = 20.0

Background = Annotated[
    bool,
    typer.Option(
        "--background", help="Start it as a process that outlives this terminal, and return at once."
    ),
]
Together = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes on this computer that share each step, one per GPU; with --background."
    ),
]


@app.command()
def pretrain(
    scans: Annotated[
        list[Path], typer.Argument(help="A store, or scans: files, DICOM folders, or folders of such.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder, created if missing.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe: a YAML file, or a bundled name such as maesil-plus."),
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
        Path | None,
        typer.Option(help="Checkpoint, run folder or bundled name of the initial weights."),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(help="Further log: tensorboard writes files for TensorBoard into the run folder."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in --out, as `maesil resume` does.")
    ] = False,
    continued: Annotated[
        bool,
        typer.Option(
            "--continue",
            help="Start a run in --out, or resume the one there; for schedulers. More --steps extend it, and other "
            "options must be those that it was started with, or left out.",
        ),
    ] = False,
    device: Device = "auto",
    background: Background = False,
    processes: Together = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Measure time and memory of the training without starting it.")
    ] = False,
) -> None:
    """Pre-train a model on unlabelled scans by self-supervision.

    Ctrl-C stops after the current step and saves a checkpoint; `maesil resume` continues from there with the same
    results as an uninterrupted run. Patterns match the path below the folder, a folder on it or the end of it, and each
    must match a scan.
    """
    _check(background, processes)
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobfolder.folder import CONFIG
    from MAESILCore.jobs.pretrain import scans_of
    from MAESILCore.jobs.pretraining import NAME, PretrainingRequest, absolute
    from MAESILCore.models.catalogue import place_of
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.training import Run, load_config
    from MAESILCore.training.config import read_recipe

    given: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "log": log}
    # Cards are UTF-8, and patterns are matched with displayable names.
    given["hold_out"] = list(map(displayable, hold_out)) if hold_out else None
    overrides = {name: value for name, value in given.items() if value is not None}
    if resume:
        if recipe is not None or initial is not None or method or preset or overrides or estimate:
            raise ConfigError("A resumed run keeps its recipe: only --steps may be given with --resume.")
        Run.open(out)
        _resume(out, scans, steps, device, background, processes)
        return
    further = {**(read_recipe(recipe) if recipe is not None else {}), **overrides}
    named = {"method": method, "preset": preset, "steps": steps}
    fields = {**further, **{name: value for name, value in named.items() if value is not None}}
    if continued and not estimate and (out / CONFIG).is_file():
        _resume(out, scans, _more_steps(out, fields, initial), device, background, processes)
        return
    start = load_checkpoint(initial) if initial is not None else None
    show_notes(start.notes if start is not None else (), _console())
    config = load_config(None, fields)
    request = PretrainingRequest(
        scans=absolute(scans),
        method=method,
        preset=preset,
        steps=steps,
        device=device,
        processes=processes or 1,
        initial=None if initial is None else absolute([place_of(initial)])[0],
        config=further,
    )
    if estimate:
        _print_cost(config, device)
        return
    if background:
        _check_machine(config, request)
        Run.create(out)
        JobFolder(out).describe(NAME, request.content)
        start_in_background(out)
        return
    data = scans_of(request, out.name)
    run = Run.create(out)
    run.request = request.content
    _train(run, config, data, device, start)


@app.command("resume")
def resume_run(
    run: Annotated[Path, typer.Argument(help="Run folder, or its name in the default folder of runs.")],
    scans: Annotated[
        list[Path] | None,
        typer.Argument(help="Scans, if they were moved or an older version started the run."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="New total of optimiser steps, to extend the run.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default="as before")
    ] = None,
    background: Background = False,
    processes: Together = None,
) -> None:
    """Resume a training from its newest checkpoint.

    The results are those of an uninterrupted run. Recipe and scans are those that it was started with.
    """
    _check(background, processes)
    from MAESILCore.jobs.runrequests import read_request
    from MAESILCore.jobs.runs import find_run

    folder = find_run(run)
    if read_request(folder).task:
        from MAESILCore.cli.segment import resume_segmentation

        resume_segmentation(folder, steps, scans or (), device, processes, background)
        return
    _resume(folder, scans or (), steps, device, background, processes)


def _check(background: bool, processes: int | None) -> None:
    """Check what a training needs, before anything is read or written."""
    from MAESILCore.optional import require

    if processes is not None and not background:
        raise ConfigError(
            "--processes needs --background; here, start the processes with torchrun (see docs/clusters.md)."
        )
    for package in ("yaml", "lightning_fabric"):
        require(package, "Pre-training")


def _more_steps(out: Path, fields: dict[str, Any], initial: Path | None) -> int | None:
    """The steps to which a repeated command extends its run; None for those of the run."""
    from MAESILCore.jobs.pretrain import steps_to_continue

    there, here = steps_to_continue(out, fields, initial)
    if here is not None and here < there:
        # As after `maesil resume --steps`; a scheduler then repeats the former number.
        _console().print(f"The run keeps its {there} steps; the command asks for {here}.")
    return here if here is not None and here > there else None


def _check_machine(config: PretrainConfig, request: PretrainingRequest) -> None:
    """Check what a process in the background would report only after this one has ended."""
    from MAESILCore.devices import pick_device
    from MAESILCore.training.processes import check_share

    pick_device(request.device)
    check_share(config.batch_size, request.processes)


def _print_cost(config: PretrainConfig, device: str) -> None:
    from MAESILCore.jobs.trial import TrainingEstimate
    from MAESILCore.training.processes import world_size
    from MAESILCore.training.trial import estimate_training

    if world_size() > 1:
        raise ConfigError("An estimate measures one process: run --estimate without torchrun.")
    with stop_requested() as stopped:
        cost = estimate_training(config, device, lambda: bool(stopped()))
    typer.echo(TrainingEstimate(*cost).text(config.steps))


def _resume(
    folder: Path,
    scans: Sequence[Path],
    steps: int | None,
    device: str | None,
    background: bool,
    processes: int | None,
) -> None:
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobs.pretrain import initial_of, open_run, scans_of
    from MAESILCore.jobs.pretraining import PretrainingRequest

    request = PretrainingRequest.read(folder).changed(steps, scans, device, processes)
    run, config = open_run(JobFolder(folder), request)
    if background:
        _check_machine(config, request)
        start_in_background(folder, steps, scans, device, processes)
        return
    show_notes(filter(None, [run.lost]), _console())
    data = scans_of(request, folder.name)
    _train(run, config, data, request.device, initial_of(request, run))


def start_in_background(
    folder: Path,
    steps: int | None = None,
    scans: Sequence[Path] = (),
    device: str | None = None,
    processes: int | None = None,
) -> None:
    """Start the run in a folder as a process that outlives this one, and the terminal."""
    from MAESILCore.jobs.runs import resume

    job = resume(folder, steps=steps, scans=scans, device=device, processes=processes)
    # Until its process works, the run looks as if it had not been started.
    until = time.monotonic() + _START_SECONDS
    while job.folder.lock.holder() is None and not job.is_over and time.monotonic() < until:
        time.sleep(0.02)
        job.poll()
    job.close()
    if job.state == "failed":
        raise ConfigError(job.message)
    typer.echo(f"Started in the background: {displayable(folder)}")
    named = displayable(shlex.quote(os.fspath(folder)))
    typer.echo(f"Watch it: maesil watch {named}\nStop it:  maesil stop {named}")


def _train(
    run: Run,
    config: PretrainConfig,
    data: Discovery | Sequence[Path],
    device: str,
    initial: LoadedModel | None,
) -> None:
    from MAESILCore.training import pretrain as train

    def work(progress: EventCallback, cancelled: Callable[[], int]) -> Path:
        return train(
            run, config, data, device=device, progress=progress, cancelled=cancelled, initial=initial
        )

    watched_training("Pre-training", work, _console())


def watched_training(
    title: str, work: Callable[[EventCallback, Callable[[], int]], Path], console: Console
) -> None:
    """Run a training with a progress bar; the first Ctrl-C stops it after the current step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(f"[bold]{title}[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar, stop_requested(SCHEDULER) as stopped:
        task = bar.add_task("train", total=None, figures="")
        model = work(lambda state: _show(bar, task, state), stopped)
    # A path that is wrapped cannot be copied.
    console.print(f"Model: {model}", soft_wrap=True)


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
