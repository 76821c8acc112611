"""`maesil phantom`: writes a synthetic torso CT with labels, to try MAESIL without data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.places import check_apart, check_file


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="File to write: .nii.gz, .nii, .nrrd, .mha or .mhd.")],
    shape: Annotated[
        tuple[int, int, int], typer.Option(metavar="I J K", help="Voxels along the three axes.")
    ] = (256, 256, 160),
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Voxel size in mm; by default the torso fills the grid."),
    ] = None,
    orientation: Annotated[
        str, typer.Option(help="Directions of the axes i, j, k, such as LPS or RAS.")
    ] = "LPS",
    oblique: Annotated[float, typer.Option(metavar="DEGREES", help="Rotate the grid by this angle.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the patient.")] = 0,
    contrast: Annotated[bool, typer.Option(help="With or without contrast agent.")] = True,
    labels: Annotated[
        Path | None, typer.Option(help="Also write the labels to this file; .seg.nrrd holds their names.")
    ] = None,
) -> None:
    """Write a synthetic torso CT in Hounsfield units, with labels."""
    from rich.console import Console
    from rich.progress import Progress

    from MAESILCore.data.formats.checks import dimensions_text
    from MAESILCore.data.formats.files import check_format
    from MAESILCore.data.labels import write_segmentation
    from MAESILCore.data.volume import write_volume
    from MAESILCore.phantom import make_phantom, phantom_geometry

    for path in (out, labels):
        if path is not None:
            check_format(path)
            check_file(path)
    if labels is not None:
        check_apart(out, labels)
    size = (shape[2], shape[1], shape[0])
    console = Console(highlight=False, soft_wrap=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Painting the phantom")
        made = make_phantom(
            size,
            ijk_to_ras=phantom_geometry(size, spacing, orientation, oblique),
            seed=seed,
            contrast=contrast,
            progress=lambda done, total, message: bar.update(
                task, completed=done, total=total, description=message
            ),
        )
    write_volume(made.volume, out)
    edges = " x ".join(f"{edge:.3g}" for edge in made.volume.spacing)
    console.print(f"Wrote {dimensions_text(shape)} voxels of {edges} mm to {out}.")
    if labels is not None:
        write_segmentation(made.segmentation, labels)
        names = ", ".join(f"{value} {name}" for value, name in made.legend.items())
        console.print(f"Wrote the labels to {labels}: {names}.")
