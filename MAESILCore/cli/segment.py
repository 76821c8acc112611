"""`maesil segment`: learn structures from few labelled scans, outline them in others, and score the result."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app, options
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.pretrain import Background, start_in_background, watched_training
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from MAESILCore.jobs.segmenttraining import SegmentTrainingRequest

segment = typer.Typer(
    no_args_is_help=True,
    help="Learn structures from few labelled scans, and outline them in others.",
)
app.add_typer(segment, name="segment")

Cases = Annotated[
    Path,
    typer.Argument(
        help="CSV with the columns scan and labels (patient and split if known), or a folder of scans with --labels."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(help="Folder of the labels, named like the scans: label maps or .seg.nrrd."),
]


@segment.command()
def train(
    cases: Cases,
    out: Annotated[Path, typer.Option(help="Run folder, created if missing.")],
    labels: Labels = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint, run folder or bundled name of the pre-trained encoder; `none` trains one from scratch.",
            show_default="bundled",
        ),
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option(help="Run of an earlier segmentation training to go on from, with its encoder."),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Recipe: a YAML file.")] = None,
    steps: Annotated[int | None, typer.Option(help="Most optimiser steps.", show_default="500")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops per step.", show_default="2")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, crops and augmentation.")] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Glob of cases for validation only; repeatable.")
    ] = None,
    only_labelled_slices: Annotated[
        bool,
        typer.Option(
            "--only-labelled-slices", help="Ignore slices without a label, for partly outlined scans."
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model.", show_default="of --out")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in --out; only --steps may change.")
    ] = False,
    device: options.Device = "auto",
    background: Background = False,
) -> None:
    """Learn the structures of labelled scans.

    Ctrl-C stops after the current step and saves a checkpoint. Voxels of a segment named `unlabelled` are ignored. A
    structure that a case does not have as a segment may lie in its background.
    """
    from MAESILCore.downstream.segmentation.cases import check_cases, held_out, read_cases
    from MAESILCore.downstream.segmentation.config import load_segmentation_config
    from MAESILCore.downstream.segmentation.run import SegmentationRun
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobs.pretraining import absolute
    from MAESILCore.jobs.segmenttraining import NAME, SegmentTrainingRequest
    from MAESILCore.models.catalogue import BUNDLED, place_of
    from MAESILCore.optional import require
    from MAESILCore.training.config import read_recipe

    for package in ("yaml", "monai"):
        require(package, "A segmentation")
    given = {"batch_size": batch_size, "seed": seed, "only_labelled_slices": only_labelled_slices or None}
    overrides = {field: value for field, value in given.items() if value is not None}
    if resume:
        if encoder or initial or recipe or overrides or hold_out or name:
            raise ConfigError(
                "A resumed run keeps its recipe and cases: only --steps may be given with --resume."
            )
        SegmentationRun.open(out)
        resume_segmentation(out, steps, (), device, None, background)
        return
    found = held_out(read_cases(cases, labels), hold_out or ())
    check_cases(found)
    if encoder and initial:
        raise ConfigError("--initial brings its own encoder: leave out --encoder.")
    chosen = None if initial or encoder == "none" else encoder or BUNDLED
    fields = {**(read_recipe(recipe) if recipe is not None else {}), **overrides}
    if encoder is None and "encoder" in fields:
        chosen = fields["encoder"]
    fields.pop("encoder", None)
    request = SegmentTrainingRequest(
        cases=tuple(found),
        name=name or fields.pop("name", "") or out.name,
        encoder=None if chosen is None else absolute([place_of(chosen)])[0],
        steps=steps,
        device=device,
        initial=None if initial is None else absolute([initial])[0],
        config={field: value for field, value in fields.items() if field != "name"},
    )
    load_segmentation_config(None, request.recipe)  # fail before the folder is made
    SegmentationRun.create(out)
    if background:
        JobFolder(out).describe(NAME, request.content)
    _work(out, request, background, is_new=True)


@segment.command()
def apply(
    model: Annotated[Path, typer.Argument(help="Run folder or checkpoint of `maesil segment train`.")],
    scans: Annotated[list[Path], typer.Argument(help="Scans: files, DICOM folders, or folders of such.")],
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")],
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
) -> None:
    """Outline the structures of a model in scans.

    Each scan gets a .seg.nrrd for 3D Slicer, a label map (.nii.gz) and a map of the uncertainty, on its own grid.
    """
    from rich.console import Console

    from MAESILCore.data.scans import read_scan
    from MAESILCore.data.volume import find_scans
    from MAESILCore.downstream.segmentation.inference import segment as outline
    from MAESILCore.downstream.segmentation.model import load_segmentation_model
    from MAESILCore.downstream.segmentation.saving import save_segmentation

    check_folder(out)
    loaded = load_segmentation_model(model)
    places = find_scans(scans)
    console = Console(stderr=True)
    printer = Console(soft_wrap=True, highlight=False)
    names = _file_names(places)
    with watched(console, "Starting") as (progress, stopped):
        for number, (place, name) in enumerate(zip(places, names, strict=True), start=1):
            volume = read_scan(place)
            text = f"{number}/{len(places)} {name}"
            result = outline(
                volume,
                loaded,
                batch_size=batch_size,
                device=device,
                progress=partial(_tell, progress, text),
                cancelled=stopped,
            )
            save_segmentation(result, out, name)
            show_notes(volume.notes, console)
            printer.print(f"{name}: {_amounts(result.millilitres)}", markup=False)
    printer.print(f"{len(places)} scans in {out}. Research use only; not a medical device.", markup=False)


@segment.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Run folder or checkpoint of `maesil segment train`.")],
    cases: Cases,
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")],
    labels: Labels = None,
    tolerance: Annotated[float, typer.Option(help="Tolerance of the surface Dice in mm.")] = 2.0,
    device: options.Device = "auto",
) -> None:
    """Score a model on labelled scans: Dice, surface Dice and the 95 % Hausdorff distance, without the background."""
    from rich.console import Console

    from MAESILCore.downstream.segmentation.cases import read_cases
    from MAESILCore.downstream.segmentation.evaluate import evaluate_segmentation, save_evaluation
    from MAESILCore.downstream.segmentation.model import load_segmentation_model

    check_folder(out)
    found = read_cases(cases, labels)
    loaded = load_segmentation_model(model)
    console = Console(stderr=True)
    with watched(console, "Starting") as (progress, stopped):
        metrics = evaluate_segmentation(
            loaded, found, device=device, tolerance=tolerance, progress=progress, cancelled=stopped
        )
    save_evaluation(metrics, out)
    show_notes(metrics["notes"], console)
    _print_scores(metrics["structures"], Console())
    typer.echo(f"Scores in {out}. Research use only; not a medical device.")


def resume_segmentation(
    folder: Path,
    steps: int | None,
    scans: Sequence[Path],
    device: str | None,
    processes: int | None,
    background: bool,
) -> None:
    """Resume the segmentation training in a folder; see `SegmentTrainingRequest.changed` for the arguments.

    Raises:
        ConfigError: the folder holds another run, or scans or several processes are asked for.
    """
    _work(folder, _request(folder).changed(steps, scans, device, processes), background, is_new=False)


def _request(folder: Path) -> SegmentTrainingRequest:
    from MAESILCore.jobs.runrequests import read_request
    from MAESILCore.jobs.segmenttraining import SegmentTrainingRequest

    request = read_request(folder)
    if not isinstance(request, SegmentTrainingRequest):
        raise ConfigError(f"{folder} holds a pre-training: resume it with `maesil resume`.")
    return request


def _work(out: Path, request: SegmentTrainingRequest, background: bool, *, is_new: bool) -> None:
    """Train here, or in a process that outlives this one."""
    from rich.console import Console

    from MAESILCore.downstream.segmentation.config import load_segmentation_config
    from MAESILCore.downstream.segmentation.model import load_segmentation_model
    from MAESILCore.downstream.segmentation.run import SegmentationRun
    from MAESILCore.downstream.segmentation.trainer import train_segmentation

    if background:
        start_in_background(out, request.steps, (), request.device)
        return
    run = SegmentationRun.create(out) if is_new else SegmentationRun.open(out)
    run.request = request.content
    config = (
        load_segmentation_config(None, request.recipe)
        if is_new
        else run.segmentation_config({"steps": request.steps} if request.steps else None)
    )
    initial = load_segmentation_model(request.initial) if request.initial else None
    watched_training(
        "Learning",
        lambda progress, cancelled: train_segmentation(
            run,
            config,
            request.cases,
            device=request.device,
            progress=progress,
            cancelled=cancelled,
            initial=initial,
        ),
        Console(),
    )


def _tell(progress: Callable[[int, int, str], None], text: str, done: int, total: int) -> None:
    progress(done, total, text)


def _file_names(places: list[Path]) -> list[str]:
    """Names of the results: those of the scans, made different by numbers."""
    from MAESILCore.data.formats.names import stem_of

    names: list[str] = []
    for place in places:
        stem = stem_of(place)
        repeated = sum(name == stem or name.startswith(f"{stem}-") for name in names)
        names.append(f"{stem}-{repeated + 1}" if stem in names else stem)
    return names


def _amounts(millilitres: Mapping[str, float]) -> str:
    found = [f"{name} {amount:.1f} ml" for name, amount in millilitres.items() if amount > 0.0]
    return ", ".join(found) or "no structure was found"


def _print_scores(structures: Mapping[str, Any], console: Any) -> None:  # noqa: ANN401 - rich's console
    from rich.table import Table

    from MAESILCore.downstream.segmentation.evaluate import TITLES

    table = Table("Structure", *TITLES.values(), "Cases")
    for name, scores in structures.items():
        cells = (_cell(scores[score]) for score in TITLES)
        table.add_row(name, *cells, str(scores["dice"]["cases"]))
    console.print(table)


def _cell(score: Mapping[str, Any]) -> str:
    if score["mean"] is None:
        return "none"
    return f"{score['mean']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
