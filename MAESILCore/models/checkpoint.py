"""Weights on disk: one safetensors file that carries its own card. Nothing is ever unpickled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from MAESILCore.data.window import Window
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.files import write_whole
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.base import Method
from MAESILCore.models.card import CARD_KEY, Card, read_card
from MAESILCore.models.catalogue import resolve
from MAESILCore.models.weightfiles import opened
from MAESILCore.models.weights import find_weights, misfit


@dataclass(frozen=True)
class LoadedModel:
    """A method with its trained weights.

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
    def abilities(self) -> Abilities:
        """What the method can do."""
        return self.method.abilities

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
    header = {CARD_KEY: card.to_json()}
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
    method.load_state_dict(weights)  # which keeps the method's own types: float32, and whole numbers whole
    return LoadedModel(method.eval(), card, (naming.note,) if naming.note else ())


def _does_not_fit(path: Path, card: Card, difference: str) -> str:
    return (
        f"{path.name} does not fit this version of method {card.method!r}: {difference}. "
        "Use the weights and the card of one training together."
    )
