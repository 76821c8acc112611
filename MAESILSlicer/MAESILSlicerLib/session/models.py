"""The session's model: its checkpoint card, under the names that MAESILSlicerLib uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MAESILCore.data.window import SOFT_TISSUE, Window
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
    def expectsHu(self) -> bool:
        """Whether the model is for scans in HU."""
        return self.card.rule.is_hu

    @property
    def windows(self) -> dict[tuple[float, float], str]:
        """The windows in HU to choose from, with their titles, the model's own first; empty if there is no choice."""
        windows = {(one.low, one.high): _titleOf(one) for one in self.card.windows}
        if len(windows) < 2:
            return {}
        own = next(iter(windows))
        return {**windows, own: sentence("window.own", window=windows[own])}

    @property
    def levels(self) -> dict[int, str]:
        """The titles of the levels that give features, by their index in the card, the deepest first."""
        levels = self.card.can.levels
        return {
            number: sentence(
                "level.deepest" if number == len(levels) - 1 else "level.plain",
                number=number + 1,
                count=len(levels),
                stride=_product(levels[number].stride),
                width=levels[number].width,
            )
            for number in reversed(range(len(levels)))
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """The card in three sentences: file, sizes and training data."""
        card = self.card
        return (
            sentence(
                "model.file" if self.megabytes >= 1.0 else "model.small-file",
                name=card.name,
                method=card.method,
                megabytes=self.megabytes,
            ),
            sentence(
                "model.sizes",
                superpatch=_product(self.superpatchSize),
                patch=_product(self.patchSize),
                intensity=_intensityOf(card),
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
    info = _read(model)
    return _unless(info.card.can.why_no_voxels(info.name), info)


def readFeatureModel(model: str | Path | None = None) -> ModelInfo:
    """Read the card of a model that gives features, also of one that cannot reconstruct.

    Args:
        model: as for `readModelInfo`.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, not from MAESIL, or of a model without features.
    """
    info = _read(model)
    return _unless(info.card.can.why_no_features(info.name), info)


def givesVoxels(model: str | Path) -> bool:
    """Whether a model can reconstruct.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or not from MAESIL.
    """
    return _read(model).card.can.reconstructs


def _read(model: str | Path | None) -> ModelInfo:
    path = resolve(model)
    return ModelInfo(read_card(path), path, path.stat().st_size / 1e6)


def _unless(obstacle: str, info: ModelInfo) -> ModelInfo:
    if obstacle:
        raise CheckpointError(obstacle)
    return info


def _intensityOf(card: Card) -> str:
    rule = card.rule
    if rule.rule == "percentiles":
        low, high = rule.percentiles
        return sentence("intensity.percentiles", low=low, high=high)
    if rule.rule == "z-score":
        return sentence("intensity.z-score", deviations=rule.deviations)
    own = sentence("intensity.window", low=rule.window.low, high=rule.window.high)
    return sentence("intensity.windows", first=own, count=len(card.windows) - 1) if card.more_windows else own


def _titleOf(window: Window) -> str:
    code = "window.soft-tissue" if window == SOFT_TISSUE else "window.plain"
    return sentence(code, low=window.low, high=window.high)


def _product(sizesKji: tuple[int, int, int]) -> str:
    return " x ".join(str(size) for size in reversed(sizesKji))
