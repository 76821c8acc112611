"""`maesil reconstruct`: hide part of a scan, let a model fill it in, and see how far off it is."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from MAESILCore.masking import MaskStrategy

#: The options that each mask mode heeds.
_OPTIONS_OF = {
    "random": ("ratio",),
    "block": ("ratio", "block_size"),
    "plane": ("ratio",),
    "axis": ("ratio",),
    "nested": ("plane_ratio", "axis_ratio"),
    "product": ("plane_ratio", "axis_ratio"),
}


@app.command()
def reconstruct(
    scan: Annotated[Path, typer.Argument(help="A scan: a file, or a folder of DICOM slices.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")],
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint file, run folder or name of a bundled model.", show_default="bundled"),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series of a folder with several: its number or UID.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(help="Mask: random, block, nested, product, plane or axis.", show_default="nested"),
    ] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Hidden share: random, block, plane, axis.", show_default="0.75")
    ] = None,
    plane_ratio: Annotated[
        float | None,
        typer.Option(help="Share hidden by the plane stage: nested, product.", show_default="0.5"),
    ] = None,
    axis_ratio: Annotated[
        float | None,
        typer.Option(help="Share hidden by the axis stage: nested, product.", show_default="0.5"),
    ] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Edge of a block in patches: block.", show_default="2")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the masks.")] = 0,
    coverage: Annotated[
        int, typer.Option(help="Masks that hide every patch at least once, together; 0 for a single mask.")
    ] = 0,
    roi: Annotated[
        str | None, typer.Option(help="Hide a region instead: i0:i1,j0:j1,k0:k1 in voxels, ends excluded.")
    ] = None,
    overlap: Annotated[int, typer.Option(help="Voxels that neighbouring superpatches share.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(help="Superpatches a pass.", show_default="by device")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Hide part of a scan and let a model fill it in.

    The results are volumes on the scan's own grid: reconstruction, mosaic of visible and predicted patches,
    error, mask, and the uncertainty of a coverage.
    """
    from rich.console import Console
    from rich.markup import escape

    from MAESILCore.checkpoint import load_checkpoint
    from MAESILCore.errors import ConfigError
    from MAESILCore.masking import roi_mask_from_box
    from MAESILCore.reconstruct import reconstruct as reconstruct_volume
    from MAESILCore.reconstruct import save_reconstruction
    from MAESILCore.superpatch import SuperpatchGrid
    from MAESILCore.volume import read_volume

    strategy, region = _strategy(mode, ratio, plane_ratio, axis_ratio, block_size), _parse_region(roi)
    if region is not None and strategy is not None:
        message = "A region is hidden as it is: leave out --mode and the ratios, or leave out --roi."
        raise ConfigError(message)
    volume = read_volume(scan, series=series)
    loaded = load_checkpoint(model)
    grid = SuperpatchGrid(volume.shape, loaded.superpatch_size, loaded.patch_size, overlap)
    console = Console(stderr=True)
    with _progress(console) as (progress, stopped):
        result = reconstruct_volume(
            volume,
            loaded,
            strategy=strategy,
            seed=seed,
            coverage=coverage,
            mask=None if region is None else roi_mask_from_box(grid, *region),
            overlap=overlap,
            batch_size=batch_size,
            device=device,
            progress=progress,
            cancelled=stopped,
        )
    files = save_reconstruction(result, out)
    for note in result.notes:
        console.print(f"[yellow]Note[/] {escape(note)}")
    Console(soft_wrap=True).print(f"{len(files)} files in {escape(str(out))}")


def _strategy(
    mode: str | None,
    ratio: float | None,
    plane_ratio: float | None,
    axis_ratio: float | None,
    block_size: int | None,
) -> MaskStrategy | None:
    """The strategy that the options ask for, None if they say nothing.

    Raises:
        ConfigError: an option without effect in this mode.
    """
    from MAESILCore.errors import ConfigError
    from MAESILCore.masking import MaskStrategy

    given = {"ratio": ratio, "plane_ratio": plane_ratio, "axis_ratio": axis_ratio, "block_size": block_size}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if mode is not None:
        options["mode"] = mode
    if not options:
        return None
    strategy = MaskStrategy(**options)
    for name in options:
        if name != "mode" and name not in _OPTIONS_OF[strategy.mode]:
            fitting = " and ".join(f"--{option.replace('_', '-')}" for option in _OPTIONS_OF[strategy.mode])
            message = f"--{name.replace('_', '-')} has no effect in mode {strategy.mode}; use {fitting}."
            raise ConfigError(message)
    return strategy


def _parse_region(text: str | None) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """`i0:i1,j0:j1,k0:k1` as start and stop in (k, j, i).

    Raises:
        ConfigError: the text is not of that form.
    """
    from MAESILCore.errors import ConfigError

    if text is None:
        return None
    number = r"\s*(-?\d+)\s*"
    found = re.fullmatch(",".join([f"{number}:{number}"] * 3), text)
    if found is None:
        message = (
            f"The region {text!r} is not of the form i0:i1,j0:j1,k0:k1, for example 100:160,80:140,20:60."
        )
        raise ConfigError(message)
    ends = [int(end) for end in found.groups()]
    return tuple(ends[4::-2]), tuple(ends[5::-2])


@contextmanager
def _progress(console: Console) -> Iterator[tuple[Callable[[int, int, str], None], Callable[[], bool]]]:
    """A progress callback that draws a bar, and a question that the first ctrl-C answers with yes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from MAESILCore.interrupts import stop_requested

    columns = (
        TextColumn("[bold]Reconstructing[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("superpatches"),
        TimeRemainingColumn(),
    )
    with stop_requested() as stopped, Progress(*columns, console=console) as bar:
        task = bar.add_task("reconstruct", total=None)
        yield lambda done, total, message: bar.update(task, total=total, completed=done), stopped
