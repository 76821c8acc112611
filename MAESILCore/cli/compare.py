"""`maesil compare`: trains methods at equal budgets and scores them on the same scans."""

from __future__ import annotations

import platform
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import Device
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Sequence


@app.command()
def compare(
    comparison: Annotated[
        Path, typer.Argument(help="The comparison: a YAML file, or a bundled name such as ct.")
    ],
    scans: Annotated[
        Path,
        typer.Option(
            help="Scans for training: a folder or a store. By few labels: a folder of scans, or a CSV of cases."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the comparison, created if missing.")],
    tests: Annotated[Path | None, typer.Option(help="Scans for the scores, of other subjects.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of the labels, for a comparison by few labels.")
    ] = None,
    example: Annotated[
        Path | None, typer.Option(help="A scan whose reconstructions are drawn side by side.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of a training.", show_default="of the comparison")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Seed of trainings; repeatable.", show_default="those of the comparison"),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="Glob of training scans for validation only, such as 's1*'; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Glob of test scans to leave out, such as '*_small*'; repeatable."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train methods at equal budgets and score them on the same scans, as tables and figures.

    A comparison by few labels, such as hippocampus, pre-trains on all scans without their labels, learns a segmentation
    from few labelled ones, and scores it on the others. Ctrl-C stops, keeps what is done and writes its tables; the
    same command goes on from there. Each training is a run folder in --out. Several processes, also with different
    --device, share the trainings of one --out.
    """
    from rich.console import Console

    from MAESILCore.compare.fewlabels.config import is_few_labels

    if is_few_labels(comparison):
        if tests or example or hold_out or exclude:
            raise ConfigError(
                "A comparison by few labels names its test cases itself: leave out --tests, --example, --hold-out and "
                "--exclude."
            )
        _compare_few_labels(comparison, scans, labels, out, steps, seed or (), device)
        return
    if labels is not None:
        raise ConfigError(f"{comparison} compares without labels: leave out --labels.")
    if tests is None:
        raise ConfigError("Give the scans for the scores by --tests.")
    from MAESILCore.compare import cells_of, load_comparison
    from MAESILCore.compare import compare as compare_methods
    from MAESILCore.compare.report import write_report
    from MAESILCore.devices import describe_device, pick_device
    from MAESILCore.optional import require

    config = load_comparison(
        comparison, steps=steps, seeds=seed or (), hold_out=hold_out or (), exclude=exclude or ()
    )
    require("matplotlib", "The figures of a comparison")
    check_folder(out)
    words = ["maesil", "compare", comparison.name, "--scans", scans.name, "--tests", tests.name]
    words += ["--example", example.name] if example is not None else []
    words += ["--steps", str(steps)] if steps is not None else []
    for option, values in (("--seed", seed), ("--hold-out", hold_out), ("--exclude", exclude)):
        words += [word for value in values or () for word in (option, str(value))]
    write = partial(
        write_report,
        config,
        list(cells_of(config, out)),
        out,
        command=displayable(shlex.join([*words, "--out", out.name])),
        hardware=f"{describe_device(pick_device(device))} ({platform.machine()})",
        example=example,
    )
    with watched(Console(stderr=True), "Comparing") as (progress, stopped):
        try:
            cells = compare_methods(
                config, [scans], [tests], out, device=device, progress=progress, cancelled=stopped
            )
        except Cancelled:
            write(figures=False)
            raise
        progress(len(cells), len(cells), "Drawing the figures.")
        files = write()
    for file in files:
        typer.echo(file)


def _compare_few_labels(
    comparison: Path,
    scans: Path,
    labels: Path | None,
    out: Path,
    steps: int | None,
    seeds: Sequence[int],
    device: str,
) -> None:
    from rich.console import Console

    from MAESILCore.compare.fewlabels.cells import shot_cells
    from MAESILCore.compare.fewlabels.config import load_few_labels
    from MAESILCore.compare.fewlabels.report import write_few_labels
    from MAESILCore.compare.fewlabels.run import compare_few_labels
    from MAESILCore.devices import describe_device, pick_device
    from MAESILCore.downstream.segmentation.cases import read_cases
    from MAESILCore.optional import require

    for package in ("monai", "matplotlib"):
        require(package, "A comparison by few labels")
    config = load_few_labels(comparison, steps=steps, seeds=seeds)
    cases = read_cases(scans, labels)
    check_folder(out)
    words = ["maesil", "compare", comparison.name, "--scans", scans.name]
    words += ["--labels", labels.name] if labels is not None else []
    words += ["--steps", str(steps)] if steps is not None else []
    words += [word for one in seeds for word in ("--seed", str(one))]
    with watched(Console(stderr=True), "Comparing") as (progress, stopped):
        try:
            compare_few_labels(config, cases, out, device=device, progress=progress, cancelled=stopped)
        finally:
            files = write_few_labels(
                config,
                list(shot_cells(config, out)),
                out,
                command=displayable(shlex.join([*words, "--out", out.name])),
                hardware=f"{describe_device(pick_device(device))} ({platform.machine()})",
            )
    for file in files:
        typer.echo(file)
