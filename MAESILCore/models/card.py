"""The card of a checkpoint. Needs neither PyTorch nor pydantic, so models can be listed without them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.methods.abilities import Abilities, Triple, masked_transformer, triple
from MAESILCore.models.header import read_metadata

CARD_KEY = "maesil"
#: The format of cards, that of models for scans without HU, which earlier versions would treat as HU, and that of
#: models of a task, which earlier versions would take for their encoders.
FORMAT, STATISTICS_FORMAT, TASK_FORMAT = 1, 2, 3
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Card:
    """The description of a checkpoint.

    Attributes:
        name: short name of the model.
        method: name of the method, as in `methods.METHODS`.
        config: the method's configuration as JSON.
        window: HU that map to 0 and 1, for the intensity `window`.
        mask: mode and ratios of the training masks; empty if nothing was hidden.
        step: optimiser steps taken.
        training: the rest of the training recipe.
        data: training data and their licences.
        abilities: abilities of the method; None in old cards, see `can`.
        intensity: the rule for scans without HU, see `Intensity.to_json`; empty for the intensity `window`.
        more_windows: further windows in HU that the model was trained in.
        task: what a model for a task learned, such as `kind` and `classes`; empty for a pre-trained model.
        format: version of the card format.
        unknown: fields of newer versions, preserved on writing.
    """

    name: str
    method: str
    config: Mapping[str, Any]
    window: tuple[float, float]
    mask: Mapping[str, Any]
    step: int
    training: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    abilities: Abilities | None = None
    intensity: Mapping[str, Any] = field(default_factory=dict)
    more_windows: tuple[tuple[float, float], ...] = ()
    task: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def can(self) -> Abilities:
        """Abilities of the method; old cards, all of masked autoencoders, derive them from the configuration.

        Raises:
            KeyError, TypeError, ValueError: the card has no abilities, and its configuration does not give them.
        """
        return masked_transformer(self.config) if self.abilities is None else self.abilities

    @property
    def superpatch_size(self) -> Triple:
        """Largest input, voxels along k, j, i."""
        return triple(self.config["superpatch_size"])

    @property
    def patch_size(self) -> Triple:
        """Voxels of a patch along k, j, i."""
        return triple(self.config["patch_size"])

    @property
    def rule(self) -> Intensity:
        """The intensity of the model.

        Raises:
            ConfigError, KeyError, TypeError, ValueError: the card's intensity is invalid.
        """
        return (
            Intensity.from_json(self.intensity) if self.intensity else Intensity(window=Window(*self.window))
        )

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows in HU that the model was trained in, the main one first; none for scans without HU."""
        return tuple(Window(*one) for one in (self.window, *self.more_windows)) if self.rule.is_hu else ()

    def to_json(self) -> str:
        """The JSON text in the header of a checkpoint; see `from_json`."""
        known = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _SPECIAL}
        known["format"] = TASK_FORMAT if self.task else FORMAT if self.rule.is_hu else STATISTICS_FORMAT
        known |= {name: getattr(self, name) for name in _OPTIONAL if getattr(self, name)}
        if self.abilities is not None:
            known["abilities"] = self.abilities.to_json()
        return json.dumps({**self.unknown, **known})

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read a card.

        Raises:
            KeyError, TypeError, ValueError, RecursionError: the card is invalid.
            CheckpointError: the card has another format version.
        """
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError("a card is a JSON object")
        if content.get("format") not in (FORMAT, STATISTICS_FORMAT, TASK_FORMAT):
            raise CheckpointError(
                f"has checkpoint format {content.get('format')}, but this MAESIL reads formats {FORMAT} to "
                f"{TASK_FORMAT}: update MAESIL."
            )
        low, high = content["window"]
        card = cls(
            name=_text(content["name"]),
            method=_text(content["method"]),
            config=dict(content["config"]),
            window=(float(low), float(high)),
            mask=dict(content["mask"]),
            step=int(content["step"]),
            training=dict(content.get("training", {})),
            data=_text(content.get("data", "")),
            abilities=Abilities.from_json(content["abilities"]) if "abilities" in content else None,
            intensity=dict(content.get("intensity", {})),
            more_windows=tuple((float(a), float(b)) for a, b in content.get("more_windows", ())),
            task=dict(content.get("task", {})),
            format=int(content["format"]),
            unknown={name: value for name, value in content.items() if name not in _NAMES},
        )
        # Model lists need these fields, so cards without them are rejected here.
        try:
            _ = card.can, card.superpatch_size, card.patch_size, Window(*card.window), card.windows
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return card


_NAMES = {one.name for one in fields(Card)} - {"unknown"}
#: Fields that are written only if they hold something.
_OPTIONAL = ("intensity", "more_windows", "task")
_SPECIAL = {"abilities", "unknown", "format", *_OPTIONAL}


def _text(value: Any) -> str:  # noqa: ANN401 - it is checked here
    if not isinstance(value, str):
        raise TypeError("the value is not a text")
    return value


def read_card(path: str | Path) -> Card:
    """Read the card of a checkpoint file.

    Raises:
        CheckpointError: the file is missing, damaged, or has no card that this version can read.
    """
    path = Path(path)
    text = read_metadata(path).get(CARD_KEY)
    if text is None:
        raise CheckpointError(f"{path.name} has weights but no MAESIL card: use a MAESIL checkpoint.")
    try:
        return Card.from_json(text)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name} {error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"The card of {path.name} is not valid, as the file is damaged or was edited: use the original file."
        ) from error
