"""`maesil classify`: classifiers of scans on frozen features, scored on unseen patients."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import BatchSize, Device, Model
from MAESILCore.cli.places import check_file, check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import in_code_page, show_notes
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Mapping

commands = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(
    commands, name="classify", help="Classify scans, or find organs in superpatches, from frozen features."
)

Table = Annotated[
    Path, typer.Argument(help="CSV file with the columns scan and label, and optionally patient and fold.")
]
Given = Annotated[Path, typer.Argument(help="Classifier: the file, or the folder of its training.")]
Encoder = Annotated[
    str | None,
    typer.Option("--model", help="Checkpoint of its encoder.", show_default="where it was at the training"),
]
Untrained = Annotated[
    bool, typer.Option("--untrained", help="Also score the same network with random weights.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of folds, head and bootstrap.")]
Folder = Annotated[Path, typer.Option(help="Folder of the results, created if missing.")]

#: Scores as columns.
_SHOWN = {
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
}


@commands.command()
def train(
    table: Table,
    out: Folder,
    head: Annotated[
        str,
        typer.Option(help="logistic (on pooled features), attentive (a query over all tokens) or finetune."),
    ] = "logistic",
    model: Model = None,
    level: Annotated[
        int | None,
        typer.Option(
            help="Feature level of the encoder; -1 is the deepest.",
            show_default="by cross-validation, else -1",
        ),
    ] = None,
    untrained: Untrained = False,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    device: Device = "auto",
) -> None:
    """Train a classifier on features, and score it on patients that it has not seen.

    Paths in the table are relative to it. A column fold gives the folds of a cross-validation, a column split the parts
    train, validation and test; without both, folds are drawn by patient. Controls say what the files alone would tell.
    """
    from rich.console import Console

    from MAESILCore.downstream.classification import train_classifier

    check_folder(out)
    given = {"head": None if head == "logistic" else head, "model": _short(model), "level": level}
    given |= {"untrained": untrained or None, "seed": seed or None}
    with watched(Console(stderr=True), "Classifying") as (progress, stopped):
        results = train_classifier(
            table,
            out,
            model=model,
            head=head,
            level=level,
            untrained=untrained,
            seed=seed,
            device=device,
            batch_size=batch_size,
            command=_command("train", [table], out, given),
            progress=progress,
            cancelled=stopped,
        )
    _show(results)


@commands.command()
def organs(
    table: Annotated[
        Path,
        typer.Argument(help="CSV file with the columns scan and labels, and optionally patient and fold."),
    ],
    out: Folder,
    superpatch: Annotated[int, typer.Option(min=1, help="Largest edge of a superpatch in voxels.")] = 64,
    least_voxels: Annotated[
        int, typer.Option(min=1, help="Voxels from which a structure counts as present.")
    ] = 100,
    model: Model = None,
    level: Annotated[
        int | None,
        typer.Option(
            help="Feature level of the encoder; -1 is the deepest.", show_default="by cross-validation"
        ),
    ] = None,
    untrained: Untrained = False,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    device: Device = "auto",
) -> None:
    """Learn from label maps which structures a superpatch holds, and score it on patients that it has not seen.

    The place in the scan, and mean and spread of the voxels stand beside the features as controls. apply and evaluate
    take the result like any classifier.
    """
    from rich.console import Console

    from MAESILCore.downstream.classification import train_presence

    check_folder(out)
    given = {"superpatch": superpatch, "least-voxels": least_voxels, "model": _short(model), "level": level}
    given |= {"untrained": untrained or None, "seed": seed or None}
    with watched(Console(stderr=True), "Classifying") as (progress, stopped):
        results = train_presence(
            table,
            out,
            model=model,
            size=superpatch,
            least_voxels=least_voxels,
            level=level,
            untrained=untrained,
            seed=seed,
            device=device,
            batch_size=batch_size,
            command=_command("organs", [table], out, given),
            progress=progress,
            cancelled=stopped,
        )
    _show(results)


@commands.command()
def apply(
    classifier: Given,
    scans: Annotated[list[Path], typer.Argument(help="Scans: files, DICOM folders, or folders of such.")],
    out: Annotated[Path, typer.Option(help="CSV file for the probabilities.")],
    model: Encoder = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
) -> None:
    """Write the probability of each class for scans, or of each structure for superpatches.

    A scan that cannot be read is left out with a note.
    """
    from rich.console import Console

    from MAESILCore.downstream.classification import apply_classifier, load_classifier

    check_file(out)
    loaded = load_classifier(classifier, model=model, device=device, batch_size=batch_size)
    with watched(Console(stderr=True), "Classifying") as (progress, stopped):
        applied = apply_classifier(loaded, scans, out, progress=progress, cancelled=stopped)
    console = Console()
    show_notes(applied.notes, console)
    show_notes(applied.left_out, console, "Left out")
    typer.echo(f"Wrote {applied.rows} rows to {displayable(out)}.")


@commands.command()
def evaluate(
    classifier: Given,
    table: Table,
    out: Folder,
    model: Encoder = None,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    device: Device = "auto",
) -> None:
    """Score a classifier on scans that it has not seen; a scan of its training is refused."""
    from rich.console import Console

    from MAESILCore.downstream.classification import (
        evaluate_classifier,
        evaluate_presence,
        load_classifier,
    )

    check_folder(out)
    loaded = load_classifier(classifier, model=model, device=device, batch_size=batch_size)
    score = evaluate_presence if loaded.description.superpatch else evaluate_classifier
    given = {"model": _short(model), "seed": seed or None}
    with watched(Console(stderr=True), "Classifying") as (progress, stopped):
        results = score(
            loaded,
            table,
            out,
            seed=seed,
            command=_command("evaluate", [classifier, table], out, given),
            progress=progress,
            cancelled=stopped,
        )
    _show(results)


def _short(model: str | None) -> str | None:
    return None if model is None else Path(model).name


def _command(name: str, paths: list[Path], out: Path, given: Mapping[str, Any]) -> str:
    """The command that reproduces the results; paths are cut to their last part, since folders differ by machine."""
    words = ["maesil", "classify", name, *(path.name for path in paths), "--out", out.name]
    for option, value in given.items():
        if value is not None:
            words += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return displayable(shlex.join(words))


def _show(results: Mapping[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid

    console, setup = Console(), results["setup"]
    title = (
        f"{setup['scans']} scans of {setup['patients']} patients, 95 % interval by bootstrap over patients"
    )
    console.print(title, soft_wrap=True, highlight=False)
    grid = Grid(box=box.SIMPLE_HEAD)
    grid.add_column("")
    shown = [name for name in _SHOWN if name in results["rows"][0]["scores"]]
    for name in shown:
        grid.add_column(_SHOWN[name], justify="right", no_wrap=name == shown[0])
    for row in results["rows"]:
        cells = [row["name"], *(_cell(row["scores"][name], with_interval=name == shown[0]) for name in shown)]
        grid.add_row(*(escape(in_code_page(cell, console.encoding)) for cell in cells))
    console.print(grid)
    if "present" in setup:
        title = f"AUROC of each structure in {setup['superpatches']} superpatches"
        console.print(title, soft_wrap=True, highlight=False)
        console.print(_structures(results, console.encoding))
    show_notes(setup["notes"], console)


def _structures(results: Mapping[str, Any], encoding: str) -> object:
    """A table with the AUROC of each structure."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Grid

    setup, rows = results["setup"], results["rows"]
    grid = Grid(box=box.SIMPLE_HEAD)
    for heading in ("structure", "in", *(row["name"] for row in rows)):
        grid.add_column(escape(heading), justify="left" if heading == "structure" else "right")
    for name, count in setup["present"].items():
        scores = [row["scores"][f"auroc {name}"] for row in rows]
        cells = [name, str(count), *(_cell(score, with_interval=False) for score in scores)]
        grid.add_row(*(escape(in_code_page(cell, encoding)) for cell in cells))
    return grid


def _cell(score: Mapping[str, Any], *, with_interval: bool) -> str:
    if score["value"] is None:
        return "n/a"
    if score["low"] is None or not with_interval:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
