"""`maesil search`: the most similar places in the scans of an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from MAESILCore.cli import app, options
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError, MaesilError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from MAESILCore.downstream.search.index import Hit, Index
    from MAESILCore.downstream.search.query import Region

#: Names of the thumbnails, by rank.
_PICTURE = "place-{}.png"


@app.command()
def search(
    index: Annotated[Path, typer.Argument(help="Folder that maesil index has written.")],
    scan: Annotated[Path, typer.Argument(help="The scan with the place, in the index or not.")],
    at: Annotated[
        str | None, typer.Option(metavar="R,A,S", help="The place, in mm: --at=-12.5,30,410.")
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option(help="A region instead of a place: i0:i1,j0:j1,k0:k1 in voxels, ends excluded."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Number of places.")] = 20,
    thumbnails: Annotated[
        Path | None, typer.Option(help="Folder for a PNG per place: an axial cut with a cross.")
    ] = None,
    scans: Annotated[
        Path | None,
        typer.Option(help="Folder of the scans of the index, if they were moved.", show_default=False),
    ] = None,
    series: options.Series = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the places as JSON.")] = False,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
) -> None:
    """Find the places that look most like a place of a scan, in all scans of an index.

    Every place of the index is compared; neighbours of a better place of the same scan are left out. The similarity is
    a cosine between whitened features, from -1 to 1, and the distance 1 minus it. It tells what looks alike to the
    model, and is no diagnosis.
    """
    from rich.console import Console

    from MAESILCore.downstream.search.index import Index
    from MAESILCore.downstream.search.query import query_of
    from MAESILCore.optional import require

    region = _region(at, roi)
    # Fail before the work.
    require("numkong", "The search")
    if thumbnails is not None:
        require("PIL", "A thumbnail")
        check_folder(thumbnails)
    console, opened = Console(stderr=True), Index.open(index)
    with watched(console, "Searching") as (progress, stopped):
        query = query_of(
            opened,
            scan,
            region,
            series=series,
            batch_size=batch_size,
            device=device,
            progress=lambda done, total: progress(done, total, f"Superpatch {done} of {total}"),
            cancelled=stopped,
        )
        hits = opened.search(query.directions, most, without=query.without, cancelled=stopped)
        notes = [*query.notes]
        if thumbnails is not None:
            notes += _draw(opened, hits, thumbnails, scans)
    if as_json:
        typer.echo(json.dumps([_described(rank, hit) for rank, hit in enumerate(hits, start=1)], indent=2))
    else:
        _show(hits)
    show_notes(notes, console)


def _region(at: str | None, roi: str | None) -> Region:
    """The place or region of the options.

    Raises:
        ConfigError: neither or both are given, or one is not understood.
    """
    from MAESILCore.downstream.search import query

    box = options.region_of(roi)
    if (at is None) == (box is None):
        raise ConfigError("Give a place with --at R,A,S in mm, or a region with --roi, but not both.")
    if box is not None:
        return query.within(*box)
    try:
        r, a, s = map(float, str(at).split(","))
    except ValueError:
        raise ConfigError(
            f"--at {at} is not understood: give R, A and S in mm, such as --at=-12.5,30,410."
        ) from None
    return query.at((r, a, s))


def _draw(index: Index, hits: Sequence[Hit], folder: Path, scans: Path | None) -> list[str]:
    """Write the thumbnails; returns a sentence for each scan that cannot be read any more."""
    from MAESILCore.downstream.search.thumbnails import write_thumbnail

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(_PICTURE.format("*")):  # of an earlier search
        old.unlink()
    notes = []
    # Each scan is read once.
    for number in dict.fromkeys(hit.number for hit in hits):
        try:
            volume = index.read(index.scans[number], scans)
        except MaesilError as error:
            notes.append(f"No thumbnails of {index.scans[number].name}: {error}")
            continue
        for rank, hit in enumerate(hits, start=1):
            if hit.number == number:
                write_thumbnail(volume, hit.ras, folder / _PICTURE.format(f"{rank:03}"))
    return notes


def _described(rank: int, hit: Hit) -> dict[str, object]:
    return {
        "rank": rank,
        "similarity": round(hit.similarity, 6),
        "distance": round(hit.distance, 6),
        "scan": hit.scan.name,
        "ras_mm": [round(value, 3) for value in hit.ras],
        "box_kji": list(hit.box),
    }


def _show(hits: Sequence[Hit]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("", "similarity", "distance", "R", "A", "S"):
        table.add_column(title, justify="right")
    table.add_column("scan", overflow="fold")
    for rank, hit in enumerate(hits, start=1):
        place = (f"{value:.1f}" for value in hit.ras)
        table.add_row(str(rank), f"{hit.similarity:.3f}", f"{hit.distance:.3f}", *place, Text(hit.scan.name))
    Console().print(table)
