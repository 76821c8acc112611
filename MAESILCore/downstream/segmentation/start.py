"""The network that a segmentation training starts from: a pre-trained encoder, a fresh one, or an earlier model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.downstream.segmentation.baselines import MonaiNetwork
from MAESILCore.downstream.segmentation.classes import Classes
from MAESILCore.downstream.segmentation.config import SegmentationConfig
from MAESILCore.downstream.segmentation.model import SegmentationModel, network_of
from MAESILCore.downstream.segmentation.network import SegmentationNetwork, Segmenter, usual_levels
from MAESILCore.errors import ConfigError
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.base import Method
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        intensity: gives each scan its window.
        is_pretrained: whether there is an encoder whose weights were learned.
        method: the encoder; None for a network without one, or of `initial`.
        initial: the earlier model to go on from; None for a new decoder.
        name: name of the encoder's model, for the card; "" if it is fresh.
    """

    intensity: Intensity
    is_pretrained: bool
    method: Method | None = None
    initial: SegmentationModel | None = None
    name: str = ""

    @classmethod
    def of(cls, config: SegmentationConfig, is_hu: bool, initial: SegmentationModel | None = None) -> Start:
        """The start of a recipe.

        Args:
            config: the recipe.
            is_hu: whether the scans look like HU.
            initial: model of an earlier training; its network and intensity go on.

        Raises:
            CheckpointError: the encoder's checkpoint cannot be read.
            ConfigError: the encoder gives no features, or a size does not fit.
        """
        if initial is not None:
            return cls(initial.intensity, True, initial=initial, name=initial.name)
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
            return cls(model.intensity, True, model.method, name=model.name)
        intensity = config.intensity_of(is_hu)
        if config.network != "encoder":
            return cls(intensity, False)
        torch.manual_seed(config.seed)
        return cls(intensity, False, create(config.method, config.model, config.preset))

    def network(self, config: SegmentationConfig, classes: Classes) -> Segmenter:
        """The network; its decoder has fresh weights, or those of `initial` for its structures.

        Raises:
            ConfigError: the levels do not fit.
        """
        torch.manual_seed(config.seed)
        if self.initial is not None:
            card = self.initial.card
            network = network_of(replace(card, task={**card.task, "classes": classes.to_json()}))
            fresh, learned = network.state_dict(), self.initial.network.state_dict()
            network.load_state_dict({name: _taken_over(fresh[name], learned[name]) for name in fresh})
            return network
        if self.method is None:
            return MonaiNetwork(config.network, len(classes), config.width)
        levels = config.levels or usual_levels(self.method)
        norm = config.norm if config.norm != "auto" else "batch" if self.intensity.is_hu else "instance"
        return SegmentationNetwork(self.method, levels, len(classes), config.width, norm)

    def card(self, config: SegmentationConfig, network: Segmenter, training: Mapping[str, Any]) -> Card:
        """The card of a model without its step and task.

        Args:
            config: the recipe.
            network: the network.
            training: fields of `Card.training` beside those of the recipe.
        """
        own = {"name", "data", "network", "method", "preset", "model", "encoder"}
        fields = {**config.model_dump(mode="json", exclude=own), "encoder": self.name, **training}
        rule = self.intensity
        shared: dict[str, Any] = {
            "name": config.name,
            "window": (rule.window.low, rule.window.high),
            "mask": {},
            "step": 0,
            "training": fields,
            "data": config.data,
            "intensity": {} if rule.is_hu else rule.to_json(),
        }
        if isinstance(network, SegmentationNetwork):
            method = network.encoder
            sizes = method.config.model_dump(mode="json")
            return Card(method=method.name, config=sizes, abilities=method.abilities, **shared)
        assert isinstance(network, MonaiNetwork)
        sizes = {"superpatch_size": list(network.largest), "patch_size": list(network.unit)}
        nothing = Abilities(hides=False, reconstructs=False, levels=())
        return Card(method=network.kind, config=sizes, abilities=nothing, **shared)


def _taken_over(fresh: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
    """The learned tensor; in the last layer, new structures keep their fresh rows."""
    if fresh.shape == learned.shape:
        return learned
    rows = fresh.clone()
    rows[: len(learned)] = learned
    return rows
