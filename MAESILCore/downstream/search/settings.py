"""The settings of an index: its model, level and folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from MAESILCore.downstream.search.boxes import box_of
from MAESILCore.downstream.search.layout import (
    INDEX,
    LOCK,
    SCANS,
    Description,
    is_index,
    read_description,
)
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.files import UNFINISHED, why_unwritable, write_json
from MAESILCore.inference.features import chosen_levels
from MAESILCore.models.catalogue import hash_of_model, resolve
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint

#: Starts of the names in a folder in which an index was begun.
_BEGUN = (LOCK, SCANS, UNFINISHED, "projection-", "vectors-", "places-")


def refuse_foreign(index: Path) -> None:
    """Check that a path is an index or can become one.

    Raises:
        ConfigError: it holds other files, or is a file.
    """
    if index.is_dir() and not is_index(index):
        if not all(entry.name.startswith(_BEGUN) for entry in index.iterdir()):
            raise ConfigError(f"{index} is not empty and holds no index: choose another folder.")
    elif os.path.lexists(index) and not index.is_dir():
        raise ConfigError(f"The index {index} cannot be written: {why_unwritable(index, FileExistsError())}.")


def settings_of(
    index: Path, folder: Path, model: str | None, level: int | None
) -> tuple[LoadedModel, Description]:
    """The model, and the description of the index, which is created if missing.

    Args:
        index: folder of the index.
        folder: the folder of the scans.
        model: as for `build_index`.
        level: as for `build_index`.

    Raises:
        CheckpointError: the model is missing or damaged, or has changed.
        ConfigError: the index has another model, level or folder.
        OSError: the index cannot be written.
    """
    before = read_description(index) if is_index(index) else None
    name = model if model is not None or before is None else before.model
    path = resolve(name)
    loaded, digest = load_checkpoint(path), hash_of_model(path)
    if before is None:
        ((number, chosen),) = chosen_levels(loaded, (-1 if level is None else level,)).items()
        for left in (index / SCANS).iterdir():  # of an index that was deleted in part
            left.unlink() if left.is_file() else shutil.rmtree(left)
        # A bundled model is found by its name on other machines, too.
        given = str(path.absolute()) if name and Path(name).exists() else name or path.stem
        box = box_of(chosen.stride)
        described = Description(str(folder.absolute()), given, digest, number, box)
        write_json(index / INDEX, described.to_json())
        return loaded, described
    if digest != before.model_hash:
        if model is None:
            raise CheckpointError(
                f"The model {before.model} has changed since the index {index} was made: delete the index, and make it "
                "again."
            )
        raise ConfigError(
            f"The index {index} was made with the model {before.model}: leave out --model, or choose another folder "
            "with --out."
        )
    if level is not None and before.level not in chosen_levels(loaded, (level,)):
        raise ConfigError(
            f"The index {index} holds features of level {before.level}: leave out --level, or choose another folder "
            "with --out."
        )
    if Path(before.folder) != folder.absolute() and Path(before.folder).is_dir():
        raise ConfigError(
            f"The index {index} is of the folder {before.folder}: give that folder, or choose another one with --out."
        )
    return loaded, replace(before, folder=str(folder.absolute()))
