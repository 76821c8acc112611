"""The network that a segmentation training starts from: a pre-trained encoder, a fresh one, or an earlier model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.downstream.segmentation.classes import Classes
from MAESILCore.downstream.segmentation.config import SegmentationConfig
from MAESILCore.downstream.segmentation.model import SegmentationModel
from MAESILCore.downstream.segmentation.network import SegmentationNetwork, usual_levels
from MAESILCore.errors import ConfigError
from MAESILCore.methods import create
from MAESILCore.methods.base import Method
from MAESILCore.models.checkpoint import load_checkpoint

#: Name of the layer that holds one row per class.
_HEAD = "head."


@dataclass(frozen=True)
class Start:
    """An encoder and the intensity that it was trained with.

    Attributes:
        method: the encoder.
        intensity: gives each scan its window.
        is_pretrained: whether the encoder's weights were learned.
        initial: the earlier model to go on from; None for a new decoder.
        name: name of the encoder's model, for the card; "" if it is fresh.
    """

    method: Method
    intensity: Intensity
    is_pretrained: bool
    initial: SegmentationModel | None = None
    name: str = ""

    @classmethod
    def of(cls, config: SegmentationConfig, is_hu: bool, initial: SegmentationModel | None = None) -> Start:
        """The start of a recipe.

        Args:
            config: the recipe.
            is_hu: whether the scans look like HU.
            initial: model of an earlier training; its encoder, decoder and intensity go on.

        Raises:
            CheckpointError: the encoder's checkpoint cannot be read.
            ConfigError: the encoder gives no features, or a size does not fit.
        """
        if initial is not None:
            return cls(initial.network.encoder, initial.intensity, True, initial, initial.name)
        if config.encoder:
            model = load_checkpoint(config.encoder)
            obstacle = model.abilities.why_no_features(model.name)
            if obstacle:
                raise ConfigError(obstacle)
            if model.intensity.is_hu and not is_hu:
                raise ConfigError(
                    f"The encoder {model.name} is for CT in HU, but the scans are not: choose an encoder that was "
                    "trained without HU, or none."
                )
            return cls(model.method, model.intensity, True, name=model.name)
        torch.manual_seed(config.seed)
        return cls(create(config.method, config.model, config.preset), config.intensity_of(is_hu), False)

    def network(self, config: SegmentationConfig, classes: Classes) -> SegmentationNetwork:
        """The network; its decoder has fresh weights, or those of `initial` for its structures.

        Raises:
            ConfigError: the levels do not fit.
        """
        torch.manual_seed(config.seed)
        before = self.initial
        if before is None:
            return SegmentationNetwork(
                self.method, config.levels or usual_levels(self.method), len(classes), config.width
            )
        network = SegmentationNetwork(
            self.method, before.network.levels, len(classes), int(before.card.task["width"])
        )
        fresh, learned = network.state_dict(), before.network.state_dict()
        network.load_state_dict({name: _taken_over(name, fresh[name], learned[name]) for name in fresh})
        return network


def _taken_over(name: str, fresh: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
    """The learned tensor; in the head, new structures keep their fresh rows."""
    if not name.startswith(_HEAD) or fresh.shape == learned.shape:
        return learned
    rows = fresh.clone()
    rows[: len(learned)] = learned
    return rows


def card_fields(start: Start, config: SegmentationConfig) -> dict[str, Any]:
    """The fields `training` of a card, with the encoder's name instead of its path."""
    fields = config.model_dump(mode="json", exclude={"name", "data", "method", "preset", "model", "encoder"})
    return fields | {"encoder": start.name}
