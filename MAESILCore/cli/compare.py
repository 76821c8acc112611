"""`maesil compare`: trains methods at equal budgets and scores them on the same scans."""

from __future__ import annotations

import platform
import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import Device
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.errors import Cancelled
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

    Ctrl-C stops, keeps what is done and writes its tables; the same command goes on from there. Each training is a run
    folder in --out. Several processes, also with different --device, share the trainings of one --out.
    """
    from rich.console import Console

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
