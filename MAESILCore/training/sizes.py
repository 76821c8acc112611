"""Differences between recipes, and between a run's recipe and the model in its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from MAESILCore.errors import CheckpointError
from MAESILCore.methods import configure, create
from MAESILCore.models.card import read_card
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.models.weights import misfit
from MAESILCore.training.config import PretrainConfig

#: Most differences that are named.
_MOST = 4


def changed_sizes(config: PretrainConfig, checkpoints: Sequence[Path]) -> str:
    """How the model of a recipe differs from that of the newest readable checkpoint; "" if its weights fit.

    Args:
        config: the recipe.
        checkpoints: the checkpoints of its run, oldest first, readable or not.

    Raises:
        ConfigError: the recipe names an unknown method or preset, or a field of the model does not fit.
    """
    here = configure(config.method, config.model, config.preset).model_dump(mode="json")
    for path in reversed(checkpoints):
        with suppress(CheckpointError):
            card = read_card(path)
            if card.method != config.method:
                return f"method: {card.method} there, {config.method} here"
            if card.config == here:
                return ""
            method = create(config.method, config.model, config.preset)
            # Some fields, such as a rate of dropout, change no tensor.
            if misfit(load_tensors(path, "model."), method.state_dict()) is None:
                return ""
            return "; ".join(list(differences(here, card.config, here))[:_MOST])
    return ""


def differences(
    fields: Mapping[str, Any], there: Mapping[str, Any], here: Mapping[str, Any], above: str = ""
) -> Iterator[str]:
    """The fields whose values differ, with both values.

    Args:
        fields: names of the fields to compare; nested mappings are compared field by field.
        there: one set of values.
        here: the other set.
        above: name of the field that holds them, with a dot; for recursion.
    """
    for name, value in fields.items():
        was, now = there.get(name), here.get(name)
        if isinstance(value, Mapping) and isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from differences(value, was, now, f"{above}{name}.")
        elif was != now:
            yield f"{above}{name}: {was} there, {now} here"
