"""Weights on disk: one safetensors file that carries its own card. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, field_validator
from safetensors import SafetensorError
from safetensors.torch import save_file

from MAESILCore.data.window import Window
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.files import write_whole
from MAESILCore.methods import Method, create
from MAESILCore.models.bundled import models_folder
from MAESILCore.models.weightfiles import opened
from MAESILCore.models.weights import find_weights, misfit

CARD_KEY = "maesil"
FORMAT = 1
SUFFIX = ".safetensors"
BUNDLED = "maesil-small-ct"


class Card(BaseModel):
    """What a checkpoint says about itself.

    Attributes:
        format: version of this layout.
        name: short name of the model.
        method: name of the method, as in `methods.METHODS`.
        config: the method's configuration.
        window: lower and upper end in HU of what the model sees as 0 and 1.
        mask: mode and ratios of the masks it was trained with.
        step: optimiser steps taken.
        training: recipe: everything else that made it.
        data: what it was trained on, and the licences of that.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    name: str
    method: str
    config: dict[str, Any]
    window: tuple[float, float]
    mask: dict[str, Any]
    step: int
    training: dict[str, Any] = {}
    data: str = ""

    @field_validator("window")
    @classmethod
    def _window_rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        try:
            Window(*ends)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return ends


@dataclass(frozen=True)
class LoadedModel:
    """A method with its trained weights, ready to reconstruct.

    Attributes:
        method: in evaluation mode, float32; on the CPU until a reconstruction moves it to its device.
        card: what the checkpoint says about itself.
        notes: sentences on how the checkpoint was read.
    """

    method: Method
    card: Card
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def window(self) -> Window:
        """HU <-> [0, 1] of this model."""
        return Window(*self.card.window)

    @property
    def superpatch_size(self) -> tuple[int, int, int]:
        """Largest input, voxels along k, j, i."""
        return self.method.config.superpatch_size

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """Voxels of a patch along k, j, i."""
        return self.method.config.patch_size

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """See `Method.reconstruct`."""
        return self.method.reconstruct(superpatches, hidden)


def save_checkpoint(path: str | Path, tensors: dict[str, torch.Tensor], card: Card) -> None:
    """Write tensors and card to one file: all of it or nothing.

    Args:
        path: ends in `.safetensors`.
        tensors: `average.*` or `model.*` hold the weights; a run adds what it needs to go on.
        card: stored in the header.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = Path(path)
    header = {CARD_KEY: card.model_dump_json()}
    owned = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as unfinished:
            save_file(owned, unfinished, metadata=header)
            with open(unfinished, "rb+") as written:
                os.fsync(written.fileno())
            os.chmod(unfinished, 0o644)  # safetensors makes a file that only its owner can read
    except (OSError, SafetensorError) as error:
        message = (
            f"The checkpoint {path} could not be written: {error}. Check the folder and the free disk space."
        )
        raise CheckpointError(message) from error


def read_card(path: str | Path) -> Card:
    """Read only the card of a checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no card that this version understands.
    """
    path = Path(path)
    with opened(path) as handle:
        header = handle.metadata() or {}
    if CARD_KEY not in header:
        message = (
            f"{path.name} holds weights but no MAESIL card that says what they are: use a MAESIL checkpoint."
        )
        raise CheckpointError(message)
    try:
        fields = json.loads(header[CARD_KEY])
        version = fields.get("format") if isinstance(fields, dict) else None
        if version != FORMAT:
            message = f"{path.name} has checkpoint format {version}, this MAESIL reads format {FORMAT}: update MAESIL."
            raise CheckpointError(message)
        return Card.model_validate(fields)
    except (ValueError, RecursionError) as error:  # both pydantic's and json's own errors are ValueErrors
        message = f"The card of {path.name} cannot be understood: the file is damaged or was edited."
        raise CheckpointError(message) from error


def load_tensors(path: str | Path, prefix: str) -> dict[str, torch.Tensor]:
    """Read the tensors whose names start with `prefix`, which is taken off.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with opened(Path(path)) as handle:
        names = handle.keys()  # not a dictionary: it cannot be iterated itself
        return {
            name.removeprefix(prefix): handle.get_tensor(name) for name in names if name.startswith(prefix)
        }


def load_checkpoint(path: str | Path | None = None) -> LoadedModel:
    """Load a model by path, by the name of a bundled model, or the default bundled one.

    Raises:
        CheckpointError: missing, damaged, or its weights do not fit its own configuration. Prefixes that PyTorch adds
            to the names of weights (`module.`, `_orig_mod.`) are taken off, with a note.

    >>> load_checkpoint().card.window  # of the bundled model, HU
    (-1000.0, 1000.0)
    """
    path = resolve(path)
    card = read_card(path)
    try:
        method = create(card.method, card.config)
    except ConfigError as error:
        raise CheckpointError(_does_not_fit(path, card, str(error).rstrip("."))) from error
    expected = method.state_dict()
    with opened(path) as handle:
        naming = find_weights(handle.keys(), expected)
        weights = {name: handle.get_tensor(stored) for name, stored in naming.names.items()}
    difference = misfit(weights, expected)
    if difference is not None:
        raise CheckpointError(_does_not_fit(path, card, difference))
    method.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return LoadedModel(method.eval(), card, (naming.note,) if naming.note else ())


def _does_not_fit(path: Path, card: Card, difference: str) -> str:
    return (
        f"{path.name} does not fit this version of method {card.method!r}: {difference}. "
        "Use the weights and the card of one training together."
    )


def resolve(path: str | Path | None) -> Path:
    """The file that a path or the name of a bundled model stands for; None is the default bundled model.

    Raises:
        CheckpointError: there is no such file.
    """
    if path is None:
        path = models_folder() / (BUNDLED + SUFFIX)
    path = Path(path)
    if path.is_dir():
        path = latest_in_run(path)
    if path.is_file():
        return path
    bundled = _bundled_models()
    if path.parent == Path() and path.name in bundled:
        return bundled[path.name]
    known = ", ".join(bundled) or "none is bundled"
    message = f"There is no checkpoint {path}; give a file, a run folder or a bundled name ({known})."
    raise CheckpointError(message)


def _bundled_models() -> dict[str, Path]:
    """The bundled models by name; none where MAESIL was installed without them."""
    try:
        folder = models_folder()
    except CheckpointError:
        return {}
    return {model.stem: model for model in sorted(folder.glob("*" + SUFFIX))}


def latest_in_run(folder: Path) -> Path:
    """The newest checkpoint of a run folder.

    Raises:
        CheckpointError: the folder holds none.
    """
    found = sorted((folder / "checkpoints").glob("step-*" + SUFFIX))
    if not found:
        message = f"The folder {folder} holds no checkpoint; give a run folder made by `maesil pretrain`, or a file."
        raise CheckpointError(message)
    return found[-1]
