"""The model of a session: its card, in the words and names of the scene code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MAESILCore.errors import CheckpointError
from MAESILCore.models.card import Card, read_card
from MAESILCore.models.catalogue import resolve


@dataclass(frozen=True)
class ModelInfo:
    """A checkpoint, as far as the scene and the people in front of it need it.

    Attributes:
        card: what it says about itself.
        path: the file.
        megabytes: its size.
    """

    card: Card
    path: Path
    megabytes: float

    @property
    def name(self) -> str:
        """Short name."""
        return self.card.name

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.card.method

    @property
    def superpatchSize(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        return self.card.superpatch_size

    @property
    def patchSize(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        return self.card.patch_size

    @property
    def windowHu(self) -> tuple[float, float]:
        """HU that the model sees as 0 and as 1."""
        return self.card.window

    @property
    def text(self) -> str:
        """The card in a few lines for people."""
        low, high = self.windowHu
        data = self.card.data
        return "\n".join(
            (
                f"{self.name} ({self.method}), {self.megabytes:.0f} MB",
                f"Superpatch {_product(self.superpatchSize)}, patch {_product(self.patchSize)} voxels, "
                f"window {low:g} to {high:g} HU, {self.card.step} training steps",
                f"Trained on {data}" if data else "Its card does not say what it was trained on.",
            )
        )


def readModelInfo(model: str | Path | None = None) -> ModelInfo:
    """Read the card of a model that reconstructs.

    Args:
        model: a checkpoint file, a run folder, the name of a bundled model, or None or "" for the default one.

    Raises:
        CheckpointError: missing, damaged, not a MAESIL checkpoint, or its card says that it cannot reconstruct.
    """
    path = resolve(model)
    card = read_card(path)
    obstacle = card.can.why_no_voxels(card.name)
    if obstacle:
        raise CheckpointError(obstacle)
    return ModelInfo(card, path, path.stat().st_size / 1e6)


def _product(sizesKji: tuple[int, int, int]) -> str:
    return " x ".join(str(size) for size in reversed(sizesKji))
