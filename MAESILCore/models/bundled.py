"""The folder of bundled models, in a checkout or an installed package."""

from __future__ import annotations

from pathlib import Path

from MAESILCore.errors import CheckpointError

_PACKAGE = Path(__file__).resolve().parents[1]
#: Wheels and the Slicer extension have the models inside the package, checkouts beside it.
_MODEL_FOLDERS = (_PACKAGE / "Models", _PACKAGE.parent / "Resources" / "Models")


def models_folder() -> Path:
    """Return the folder of the bundled checkpoints and their cards.

    Raises:
        CheckpointError: this installation has no bundled models.
    """
    for folder in _MODEL_FOLDERS:
        if folder.is_dir():
            return folder
    raise CheckpointError(
        f"The bundled models are missing: neither {_MODEL_FOLDERS[0]} nor {_MODEL_FOLDERS[1]} exists; "
        "install MAESIL again, or name a checkpoint file."
    )
