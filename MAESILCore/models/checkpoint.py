"""Checkpoints: one safetensors file with weights and card. Nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.files import sync_folder, why_unwritable, write_whole
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.base import Method
from MAESILCore.models.card import CARD_KEY, Card, read_card
from MAESILCore.models.catalogue import resolve
from MAESILCore.models.sealed import write_sealed
from MAESILCore.models.weightfiles import opened
from MAESILCore.models.weights import find_weights, misfit


@dataclass(frozen=True)
class LoadedModel:
    """A method with its trained weights.

    Attributes:
        method: the model in evaluation mode, float32, on the CPU; a reconstruction moves it to its device.
        card: the description of the checkpoint.
        notes: sentences for the user about reading the checkpoint.
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
        """The model's main window, HU <-> [0, 1]; for scans without HU see `intensity`."""
        return Window(*self.card.window)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows in HU that the model was trained in, the main one first; none for scans without HU."""
        return self.card.windows

    @property
    def intensity(self) -> Intensity:
        """The rule that gives each scan its window."""
        return self.card.rule

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
    """Write tensors, card and a checksum to one file, atomically; it is on the disk when this returns.

    Args:
        path: a file with the extension `.safetensors`.
        tensors: weights under `average.*` or `model.*`; runs add their state for resuming.
        card: stored in the header.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as unfinished:
            write_sealed(unfinished, tensors, {CARD_KEY: card.to_json()})
        sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} could not be written: {why_unwritable(path, error)}."
        ) from error


def load_tensors(path: str | Path, prefix: str) -> dict[str, torch.Tensor]:
    """Read the tensors whose names start with `prefix`; the result has names without it.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with opened(Path(path)) as handle:
        names = handle.keys()  # the handle itself is not iterable
        return {
            name.removeprefix(prefix): handle.get_tensor(name) for name in names if name.startswith(prefix)
        }


def load_checkpoint(path: str | Path | None = None) -> LoadedModel:
    """Load a model by path or bundled name; None is the default bundled model.

    Prefixes that PyTorch adds to weight names (`module.`, `_orig_mod.`) are removed, with a note.

    Raises:
        CheckpointError: the file is missing or damaged, or its weights do not fit its configuration.

    >>> load_checkpoint().card.window  # of the bundled model, HU
    (-1000.0, 1000.0)
    """
    path = resolve(path)
    card = read_card(path)
    if card.task:
        raise CheckpointError(
            f"{path.name} is a model for {card.task.get('kind', 'a task')}, not a pre-trained one: give the checkpoint "
            "of its encoder."
        )
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
    method.load_state_dict(weights)  # keeps the dtypes of the method
    return LoadedModel(method.eval(), card, (naming.note,) if naming.note else ())


def _does_not_fit(path: Path, card: Card, difference: str) -> str:
    return (
        f"{path.name} does not fit this version of method {card.method!r}: {difference}. "
        "Use weights and card of the same training run."
    )
