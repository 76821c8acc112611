"""The state of a run as checkpoint tensors and card: weights, their average and the optimiser's state.

It holds no random state, since the trainer seeds every process and device before each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.methods.base import Method
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.weights import misfit
from MAESILCore.nn.sharded import part_like
from MAESILCore.training.config import PretrainConfig


@dataclass
class Counts:
    """Whole numbers that belong to the state of a run.

    Attributes:
        averaged: updates of the average, its start included.
        skipped: steps in a row, up to now, that were skipped as not finite.
        validated: the last step that was validated.
    """

    averaged: int = 1
    skipped: int = 0
    validated: int = 0


def pack(
    method: Method, average: Method | None, optimizer: torch.optim.Optimizer, counts: Counts
) -> dict[str, torch.Tensor]:
    """The state as named tensors for `unpack` and `unpack_optimizer`."""
    tensors = {f"model.{name}": tensor for name, tensor in method.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    return tensors | {f"count.{name}": torch.tensor(count) for name, count in asdict(counts).items()}


def unpack(tensors: dict[str, torch.Tensor], method: Method, average: Method | None, step: int) -> Counts:
    """Restore the weights and their average, before they are sharded.

    Returns:
        The counts, which checkpoints of earlier versions lack, as they never skipped a step.

    Raises:
        CheckpointError: the tensors belong to another model, or are not the state of a run.
    """
    modules = {"model.": method} if average is None else {"model.": method, "average.": average}
    for prefix, module in modules.items():
        weights = _part(tensors, prefix)
        difference = misfit(weights, module.state_dict())
        if difference is not None:
            message = (
                f"The run's checkpoint does not fit its recipe: of the tensors under {prefix!r}, {difference}. "
                "Start a new run."
            )
            raise CheckpointError(message)
        module.load_state_dict(weights)
    counts = {"averaged": 1 + step, "validated": step}
    return Counts(**counts | {name: int(count) for name, count in _part(tensors, "count.").items()})


def unpack_optimizer(tensors: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Restore the state of the optimiser, sharded like its weights."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in _part(tensors, "optimizer.").items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = part_like(tensor, weights[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def take_over(method: Method, initial: LoadedModel) -> None:
    """Replace the weights of a method by those of a model.

    Raises:
        ConfigError: the model has other sizes.
    """
    weights = initial.method.state_dict()
    difference = misfit(weights, method.state_dict())
    if difference is not None:
        message = (
            f"The recipe describes a model of other sizes than {initial.name}, whose weights do not fit: {difference}. "
            "Use the preset and the fields of `model` of its recipe."
        )
        raise ConfigError(message)
    method.load_state_dict(weights)


def card_of(
    config: PretrainConfig, method: Method, step: int, scans: int, scores: Mapping[str, float] | None = None
) -> Card:
    """The card of a checkpoint.

    Args:
        config: the recipe.
        method: the trained method.
        step: number of optimiser steps taken.
        scans: number of training scans.
        scores: scores of validation at this step, kept as `validation` in `Card.training`.
    """
    own = {"name", "data", "method", "model", "window", "preset", "intensity", "percentiles", "deviations"}
    own |= {"more_windows"}
    rule = config.intensity_rule()
    training = {**config.model_dump(mode="json", exclude=own), "scans": scans}
    return Card(
        name=config.name,
        method=config.method,
        config=method.config.model_dump(mode="json"),
        window=config.window,
        mask=config.mask.model_dump(mode="json") if config.mask else {},
        step=step,
        data=config.data,
        training=training | ({"validation": dict(scores)} if scores else {}),
        abilities=method.abilities,
        intensity={} if rule.is_hu else rule.to_json(),
        more_windows=config.more_windows,
    )


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
