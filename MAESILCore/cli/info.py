"""`maesil info`: what a scan is, before anything is done with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterable

    from MAESILCore.superpatch import SuperpatchGrid
    from MAESILCore.volume import Volume


@app.command()
def info(
    scan: Annotated[Path, typer.Argument(help="A scan: a file, or a folder of DICOM slices.")],
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series of a folder with several: its number or UID.")
    ] = None,
    superpatch_size: Annotated[int, typer.Option(help="Edge of a superpatch in voxels.")] = 128,
    patch_size: Annotated[int, typer.Option(help="Edge of a patch in voxels.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show a scan's geometry, its value range and the superpatch grid it would get."""
    from MAESILCore.superpatch import SuperpatchGrid
    from MAESILCore.volume import read_volume

    volume = read_volume(scan, series=series)
    grid = SuperpatchGrid(volume.shape, superpatch_size, patch_size)
    if as_json:
        typer.echo(json.dumps(describe(volume, grid), indent=2))
    else:
        _print_table(volume, grid)


def describe(volume: Volume, grid: SuperpatchGrid) -> dict[str, Any]:
    """What there is to say about a volume and its grid, ready for JSON.

    Lists along voxel axes are in the order that the key's last letters name.
    """
    low, high = volume.value_range
    return {
        "name": volume.name,
        "shape_kji": list(volume.shape),
        "spacing_mm_ijk": list(volume.spacing),
        "origin_mm_ras": list(volume.origin),
        "ijk_to_ras": volume.ijk_to_ras.tolist(),
        "orientation": volume.orientation,
        "is_oblique": bool(volume.is_oblique),
        "is_sheared": bool(volume.is_sheared),
        "data_type": volume.voxels.dtype.name,
        "value_range": [low, high],
        "looks_like_hu": bool(volume.looks_like_hu),
        "superpatch_size_kji": list(grid.superpatch_size),
        "patch_size_kji": list(grid.patch_size),
        "superpatches_kji": list(grid.counts),
        "superpatches": len(grid),
        "patch_lattice_kji": list(grid.lattice_shape),
        "notes": list(volume.notes),
    }


def _print_table(volume: Volume, grid: SuperpatchGrid) -> None:
    """Print the facts for people, who count voxels as width x height x slices (i, j, k)."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    low, high = volume.value_range
    unit = " HU" if volume.looks_like_hu else ""
    extent = [count * edge for count, edge in zip(volume.shape[::-1], volume.spacing, strict=True)]
    counts, lattice = grid.counts[::-1], grid.lattice_shape[::-1]
    turned = [
        word for word, is_so in (("oblique", volume.is_oblique), ("sheared", volume.is_sheared)) if is_so
    ]
    facts = {
        "Size": f"{_times(volume.shape[::-1])} voxels (i x j x k), {volume.voxels.dtype.name}",
        "Spacing": f"{_times(volume.spacing)} mm",
        "Extent": f"{_times(round(edge, 1) for edge in extent)} mm",
        "Orientation": ", ".join([volume.orientation, *turned]),
        "Origin (R, A, S)": ", ".join(f"{part:.6g}" for part in volume.origin) + " mm",
        "Values": f"{low:g} to {high:g}{unit}",
        "Superpatches": f"{len(grid)} ({_times(counts)}) of {_times(grid.superpatch_size[::-1])} voxels",
        "Patches": f"{_times(lattice)} of {_times(grid.patch_size[::-1])} voxels",
    }
    table = Table(title=escape(volume.name), title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    for note in volume.notes:
        table.add_row("[yellow]Note[/]", escape(note))
    Console().print(table)


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
