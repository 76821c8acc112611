"""The session's model: its checkpoint card, under the names that MAESILSlicerLib uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MAESILCore.errors import CheckpointError
from MAESILCore.models.card import Card, read_card
from MAESILCore.models.catalogue import resolve
from MAESILSlicerLib.session.wording import sentence


@dataclass(frozen=True)
class ModelInfo:
    """What the scene and the faces need of a checkpoint.

    Attributes:
        card: the checkpoint's card.
        path: the checkpoint file.
        megabytes: size of the file, MB.
    """

    card: Card
    path: Path
    megabytes: float

    @property
    def name(self) -> str:
        """Short name."""
        return self.card.name

    @property
    def hides(self) -> bool:
        """Whether the model predicts hidden patches; other models see all patches."""
        return self.card.can.hides

    @property
    def superpatchSize(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        return self.card.superpatch_size

    @property
    def patchSize(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        return self.card.patch_size

    @property
    def lines(self) -> tuple[str, ...]:
        """The card in three sentences: file, sizes and training data."""
        card, (low, high) = self.card, self.card.window
        return (
            sentence("model.file", name=card.name, method=card.method, megabytes=self.megabytes),
            sentence(
                "model.sizes",
                superpatch=_product(self.superpatchSize),
                patch=_product(self.patchSize),
                low=low,
                high=high,
                steps=card.step,
            ),
            sentence("model.data", data=card.data) if card.data else sentence("model.no-data"),
        )


def readModelInfo(model: str | Path | None = None) -> ModelInfo:
    """Read the card of a model that can reconstruct.

    Args:
        model: a checkpoint file, a run folder or the name of a bundled model; None or "" is the default model.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, not from MAESIL, or of a model that cannot reconstruct.
    """
    path = resolve(model)
    card = read_card(path)
    obstacle = card.can.why_no_voxels(card.name)
    if obstacle:
        raise CheckpointError(obstacle)
    return ModelInfo(card, path, path.stat().st_size / 1e6)


def _product(sizesKji: tuple[int, int, int]) -> str:
    return " x ".join(str(size) for size in reversed(sizesKji))
