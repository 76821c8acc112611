"""`maesil export`: the encoder of a checkpoint for other frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MAESILCore.cli import app
from MAESILCore.cli.places import check_folder


@app.command()
def export(
    checkpoint: Annotated[
        str, typer.Argument(help="Checkpoint file, run folder or name of a bundled model.")
    ],
    to: Annotated[str, typer.Option(help="monai-vit, monai-unetr, nnunet or onnx.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    size: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            metavar="K J I", help="Voxels of the input: slices, rows, columns.", show_default="the superpatch"
        ),
    ] = None,
) -> None:
    """Write the encoder of a model for another framework, which loads it without MAESIL.

    The folder holds a README with the few lines that load it. Features are those of the model, up to rounding.
    """
    from rich.console import Console

    from MAESILCore.errors import ConfigError
    from MAESILCore.models.export import TARGETS, export_encoder

    if to not in TARGETS:  # before PyTorch is loaded
        raise ConfigError(f"There is no export {to!r}; choose one of {', '.join(TARGETS)}.")
    check_folder(out)
    from MAESILCore.models.checkpoint import load_checkpoint

    model = load_checkpoint(checkpoint)
    console = Console(highlight=False, soft_wrap=True)
    with console.status("Exporting"):
        made = export_encoder(model, to, out, size)
    edges = " x ".join(map(str, made))
    console.print(
        f"Wrote the encoder of {model.name} for {to}, inputs of {edges} voxels (k x j x i), to {out}.",
        markup=False,
    )
    console.print(f"How to load it: {out / 'README.md'}", markup=False)
