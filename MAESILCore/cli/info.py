"""`maesil info`: shows the properties of a scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app
from MAESILCore.cli.options import Series
from MAESILCore.cli.terminal import show_left_out
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from MAESILCore.data.formats.discovery import LeftOut
    from MAESILCore.data.volume import Volume

#: Most scans in a sentence; the others are counted.
_NAMED = 5


@app.command()
def info(
    scan: Annotated[Path, typer.Argument(help="A scan: a file, or a folder of DICOM slices.")],
    series: Series = None,
    superpatch_size: Annotated[int, typer.Option(help="Edge of a superpatch in voxels.")] = 128,
    patch_size: Annotated[int, typer.Option(help="Edge of a patch in voxels.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show a scan's geometry, value range and division into superpatches."""
    from rich.console import Console

    from MAESILCore.data.volume import describe

    left_out: list[LeftOut] = []
    try:
        volume = _read(scan, series, left_out)
    finally:
        show_left_out(left_out, Console(stderr=True))
    facts = describe(volume, superpatch_size, patch_size)
    if as_json:
        typer.echo(json.dumps(facts | {"left_out": [str(one) for one in left_out]}, indent=2))
    else:
        _print_table(facts)


def _read(place: Path, series: str | None, left_out: list[LeftOut]) -> Volume:
    """Read the scan at a path; unreadable entries of a folder are appended to `left_out`.

    Raises:
        VolumeError: the scan cannot be read, or the folder holds several scans.
    """
    from MAESILCore.data.formats.discovery import discover_scans
    from MAESILCore.data.formats.found import listed
    from MAESILCore.data.scans import read_scan

    if not place.is_dir():
        return read_scan(place, series)
    found = discover_scans(place)
    left_out += found.left_out
    try:
        return read_scan(place, series)
    except VolumeError:
        paths = [scan.path for scan in found.scans]
        if len(paths) > 1:
            names = listed([str(path.relative_to(place)) for path in paths], _NAMED)
            raise VolumeError(f"{place} holds {len(paths)} scans; name one of them: {names}.") from None
        if paths == [place]:
            raise
        return read_scan(paths[0], series)


def _print_table(facts: dict[str, Any]) -> None:
    """Print the facts as a table; sizes are width x height x slices (i, j, k)."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(facts["name"]), title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        table.add_row(name, escape(value))
    for note in facts["notes"]:
        table.add_row("[yellow]Note[/]", escape(note))
    Console().print(table)


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    size = facts["shape_kji"][::-1]
    spacing = facts["spacing_mm_ijk"]
    low, high = facts["value_range"]
    turned = [word for word in ("oblique", "sheared") if facts[f"is_{word}"]]
    yield "Size", f"{_times(size)} voxels (i x j x k), {facts['data_type']}"
    yield "Spacing", f"{_times(spacing)} mm"
    yield "Extent", f"{_times(round(count * edge, 1) for count, edge in zip(size, spacing, strict=True))} mm"
    yield "Orientation", ", ".join([facts["orientation"], *turned])
    yield "Origin (R, A, S)", ", ".join(f"{part:.6g}" for part in facts["origin_mm_ras"]) + " mm"
    yield "Values", f"{low:g} to {high:g}" + (" HU" if facts["looks_like_hu"] else "")
    counts, edges = facts["superpatches_kji"][::-1], facts["superpatch_size_kji"][::-1]
    yield (
        "Superpatches",
        f"{facts['superpatches']} ({_times(counts)}) of {_times(edges)} voxels, without overlap",
    )
    lattice, edges = facts["patch_lattice_kji"][::-1], facts["patch_size_kji"][::-1]
    yield "Patches", f"{_times(lattice)} of {_times(edges)} voxels"


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
