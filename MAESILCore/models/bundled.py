"""Finds the files that come with MAESIL, in a checkout and in an installed package alike."""

from __future__ import annotations

from pathlib import Path

from MAESILCore.errors import CheckpointError

_PACKAGE = Path(__file__).resolve().parents[1]
#: A wheel and the Slicer extension carry the models inside the package; a checkout keeps them beside it.
_MODEL_FOLDERS = (_PACKAGE / "Models", _PACKAGE.parent / "Resources" / "Models")


def models_folder() -> Path:
    """Return the folder of the bundled checkpoints and their cards.

    Raises:
        CheckpointError: This installation came without its models.
    """
    for folder in _MODEL_FOLDERS:
        if folder.is_dir():
            return folder
    message = (
        f"The bundled models are missing: neither {_MODEL_FOLDERS[0]} nor {_MODEL_FOLDERS[1]} exists; "
        "install MAESIL again, or name a checkpoint file."
    )
    raise CheckpointError(message)
