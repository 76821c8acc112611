"""The encoder of a checkpoint in the form of other frameworks, which load it without MAESIL (docs/export.md)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from MAESILCore.methods.abilities import Triple
    from MAESILCore.models.checkpoint import LoadedModel

_HOMES = {
    "monai-vit": "monai_vit",
    "monai-unetr": "monai_unetr",
    "nnunet": "nnunet",
    "onnx": "onnx_graph",
}

#: The frameworks by the name that `maesil export --to` takes.
TARGETS = tuple(_HOMES)


def export_encoder(model: LoadedModel, target: str, folder: str | Path, size: Triple | None = None) -> Triple:
    """Write the encoder of a model for another framework, with `encoder.json` and a README on how to load it.

    Args:
        model: a loaded checkpoint, on the CPU.
        target: one of `TARGETS`.
        folder: a folder, which may be missing; files of an earlier export are replaced.
        size: voxels of the input along k, j, i, since the positions of the patches are written for one size; None is
            the superpatch.

    Returns:
        The size of the input along k, j, i.

    Raises:
        CheckpointError: the folder cannot be written.
        ConfigError: the target is unknown, it cannot express this model, or the size does not fit.
        MissingPackageError: the target needs a package that is not installed.
    """
    if target not in _HOMES:
        raise ConfigError(f"There is no export {target!r}; choose one of {', '.join(TARGETS)}.")
    obstacle = model.abilities.why_no_features(model.name)
    if obstacle:
        raise ConfigError(obstacle)
    from MAESILCore.models.export.folder import write_export

    export = import_module(f"{__name__}.{_HOMES[target]}").export(model, size)
    write_export(Path(folder), model, target, export)
    return export.size
