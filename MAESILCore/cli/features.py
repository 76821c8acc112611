"""`maesil features`: writes the feature vectors of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli import app, options
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError

#: Stands for all levels.
_ALL = "all"


@app.command()
def features(
    scan: Annotated[Path, typer.Argument(help="A scan: a file, or a folder of DICOM slices.")],
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")],
    level: Annotated[
        list[str] | None,
        typer.Option(
            help="Depth of the network, from 0, negative ones from the deepest, or all; repeatable.",
            show_default="the deepest",
        ),
    ] = None,
    model: options.Model = None,
    series: options.Series = None,
    file_format: Annotated[
        str, typer.Option("--format", help="nifti: a vector image per level; zarr: a Zarr 3 group.")
    ] = "nifti",
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
) -> None:
    """Write the feature vectors of a scan, for other programs and small models.

    Per level, a map with one vector for each patch or box of voxels, with its geometry; pooled.json has one vector for
    the whole scan: the mean over all boxes that hold more than air, and the mean of the model's summaries.
    """
    from rich.console import Console

    from MAESILCore.data.scans import read_scan
    from MAESILCore.inference import encode_levels, save_features
    from MAESILCore.inference.featurefiles import check_feature_format
    from MAESILCore.inference.features import chosen_levels
    from MAESILCore.models.checkpoint import load_checkpoint

    levels = _levels(level)
    # Fail before the work.
    check_feature_format(file_format)
    check_folder(out)
    loaded = load_checkpoint(model)
    chosen_levels(loaded, levels)
    volume = read_scan(scan, series)
    console = Console(stderr=True)
    with watched(console, "Starting") as (progress, stopped):
        found = encode_levels(
            volume,
            loaded,
            levels,
            batch_size=batch_size,
            device=device,
            progress=lambda done, total: progress(done, total, f"Superpatch {done} of {total}"),
            cancelled=stopped,
        )
    files = save_features(found, out, volume=volume, model=loaded, format=file_format)
    show_notes((*volume.notes, *loaded.notes), console)
    Console(soft_wrap=True, highlight=False).print(
        f"{len(files)} files in {out}: features of {len(found)} of the levels of {loaded.name}. "
        "Research use only; not a medical device.",
        markup=False,
    )


def _levels(given: list[str] | None) -> tuple[int, ...] | None:
    """The numbers of levels; None is all.

    Raises:
        ConfigError: a level is neither a whole number nor "all".
    """
    if given is None:
        return (-1,)
    if _ALL in given:
        if len(given) > 1:
            raise ConfigError("--level all has every level: leave out the other --level.")
        return None
    try:
        return tuple(int(text) for text in given)
    except ValueError:
        raise ConfigError(f"--level takes whole numbers or all, not {', '.join(given)}.") from None
