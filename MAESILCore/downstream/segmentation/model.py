"""A trained segmentation model: its network, classes and intensity in one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.downstream.segmentation.baselines import BASELINES, MonaiNetwork
from MAESILCore.downstream.segmentation.classes import Classes
from MAESILCore.downstream.segmentation.network import SegmentationNetwork, Segmenter
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.lattice.box import Triple
from MAESILCore.methods import create
from MAESILCore.methods.abilities import triple
from MAESILCore.models.card import Card, read_card
from MAESILCore.models.catalogue import resolve
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.models.weights import misfit

#: The kind of task in a card.
TASK = "segmentation"


@dataclass(frozen=True)
class SegmentationModel:
    """A network with trained weights.

    Attributes:
        network: in evaluation mode, float32, on the CPU; an application moves it to its device.
        classes: what its logits mean.
        crop_size: voxels of its training crops along k, j, i, which are the tiles of an application.
        card: the description of the checkpoint.
    """

    network: Segmenter
    classes: Classes
    crop_size: Triple
    card: Card

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def method(self) -> Segmenter:
        """The module that passes move to their device."""
        return self.network

    @property
    def intensity(self) -> Intensity:
        """The rule that gives each scan its window."""
        return self.card.rule

    @property
    def window(self) -> Window:
        """HU that map to 0 and 1, for the intensity `window`."""
        return Window(*self.card.window)


def task_of(network: Segmenter, classes: Classes, crop_size: Triple) -> dict[str, Any]:
    """The field `task` of a card."""
    return {
        "kind": TASK,
        "classes": classes.to_json(),
        "levels": list(network.levels),
        "width": network.width,
        "norm": network.norm,
        "crop_size": list(crop_size),
    }


def network_of(card: Card) -> Segmenter:
    """The network that a card describes, with fresh weights.

    Raises:
        ConfigError, KeyError, TypeError, ValueError: a field is missing or does not fit.
    """
    count, width = 1 + len(card.task["classes"]), int(card.task["width"])
    if card.method in BASELINES:
        return MonaiNetwork(card.method, count, width)
    levels = [int(level) for level in card.task["levels"]]
    return SegmentationNetwork(create(card.method, card.config), levels, count, width, str(card.task["norm"]))


def load_segmentation_model(path: str | Path) -> SegmentationModel:
    """Load a segmentation model.

    Args:
        path: checkpoint, or run folder of a segmentation training.

    Raises:
        CheckpointError: the file is missing or damaged, is another kind of model, or its weights do not fit.
    """
    if not str(path):
        raise CheckpointError(
            "Choose a segmentation model: the run folder or file of `maesil segment train`."
        )
    file = resolve(path)
    card = read_card(file)
    if card.task.get("kind") != TASK:
        raise CheckpointError(
            f"{file.name} is no segmentation model, but {card.task.get('kind') or f'a model of {card.method}'}: "
            "train one with `maesil segment train`."
        )
    try:
        network = network_of(card)
        classes, crop_size = Classes.from_json(card.task["classes"]), triple(card.task["crop_size"])
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file.name} does not fit this version of MAESIL: {error}") from error
    weights = load_tensors(file, "model.")
    difference = misfit(weights, network.state_dict())
    if difference is not None:
        raise CheckpointError(
            f"{file.name} does not fit this version of MAESIL: {difference}. Train it again."
        )
    network.load_state_dict(weights)
    return SegmentationModel(network.eval(), classes, crop_size, card)
