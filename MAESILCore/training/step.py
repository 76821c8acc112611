"""One optimiser step over the samples of all processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch.optim.swa_utils import AveragedModel

from MAESILCore.methods.base import Losses, Method, Step
from MAESILCore.training.batches import batches_of
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.schedule import learning_rate
from MAESILCore.training.source import Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule


@dataclass(frozen=True)
class Taken:
    """What happened in one optimiser step; the same in all processes.

    Attributes:
        losses: mean losses over all samples of the step.
        gradient_norm: norm of all gradients before clipping.
        finite: whether loss and gradients are finite. If not, the weights are unchanged.
        stop: whether any process asked to stop.
    """

    losses: Losses
    gradient_norm: float
    finite: bool
    stop: bool


class Stepper:
    """Takes optimiser steps.

    Args:
        fabric: connects the processes.
        config: the recipe.
        method: the method on its device.
        wrapped: the method, distributed by Fabric.
        optimizer: the optimiser, prepared by Fabric.
        average: the average of the weights; None for methods that keep a teacher.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: PretrainConfig,
        method: Method,
        wrapped: _FabricModule,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None,
    ) -> None:
        self.fabric, self.config, self.method = fabric, config, method
        self.wrapped, self.optimizer, self.average = wrapped, optimizer, average
        self.generator = torch.Generator(device=fabric.device)

    def take(self, samples: list[Sample], number: int, stop: bool = False) -> Taken:
        """Take one step; a step whose loss or gradients are not finite changes no weight.

        Args:
            samples: the samples of this process.
            number: index of the step, from 0.
            stop: whether this process asks to stop; `Taken.stop` tells all processes.
        """
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate(self.config, number)
        # Random draws depend on seed, step and process alone, so that a resumed run repeats them.
        seed = (self.config.seed * 1_000_003 + number) * 1_009 + self.fabric.global_rank
        torch.manual_seed(seed)
        step = Step(number, self.config.steps, self.generator.manual_seed(seed))
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._backward(samples, step)
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        losses, stop = self._reduced(losses, stop)
        gradient_norm = float(cast(torch.Tensor, norm))
        finite = math.isfinite(gradient_norm) and math.isfinite(losses.total)
        if finite:
            self.optimizer.step()
            self.method.after_step(step)
            if self.average is not None:
                self.average.update_parameters(self.method)
        return Taken(losses, gradient_norm, finite, stop)

    def _backward(self, samples: list[Sample], step: Step) -> Losses:
        """Add the gradients of all samples, with equal weights; returns their mean losses."""
        total, parts = torch.zeros((), device=self.fabric.device), dict[str, torch.Tensor]()
        whole = self.method.abilities.needs_whole_batch
        batches = batches_of(samples, whole=whole, device=self.fabric.device)
        for number, batch in enumerate(batches, start=1):
            weight = len(batch.superpatches) / len(samples)
            # Processes may have different numbers of batches, so each synchronizes gradients only with its last.
            with self.fabric.no_backward_sync(self.wrapped, enabled=number < len(batches)):
                # With one process Fabric calls the method directly, without the autocast of `forward`.
                with self.fabric.autocast():
                    losses = self.wrapped.training_losses(batch, step)
                share = losses.total * weight
                self.fabric.backward(share)
            total += share.detach()
            for name, part in losses.parts.items():
                value = torch.as_tensor(part, device=total.device).detach().float() * weight
                parts[name] = parts[name] + value if name in parts else value
        return Losses(total, parts)

    def _reduced(self, losses: Losses, stop: bool) -> tuple[Losses, bool]:
        """The mean losses over all processes, and whether any must stop: all must, or the others would wait forever."""
        flag = torch.full_like(losses.total, float(stop))
        values = torch.stack([losses.total, flag, *map(torch.as_tensor, losses.parts.values())])
        total, flag, *parts = cast(torch.Tensor, self.fabric.all_reduce(values)).unbind()
        return Losses(total, dict(zip(losses.parts, parts, strict=True))), bool(flag > 0)
