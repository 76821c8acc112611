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
from MAESILCore.training.loader import Drawn
from MAESILCore.training.processes import Processes, share_of
from MAESILCore.training.schedule import learning_rate
from MAESILCore.training.source import SampleKey

if TYPE_CHECKING:
    from lightning_fabric.wrappers import _FabricModule


@dataclass(frozen=True)
class Taken:
    """What happened in one optimiser step; the same in all processes.

    Attributes:
        losses: mean losses over all samples of the step.
        gradient_norm: norm of all gradients before clipping.
        finite: whether loss and gradients are finite. If not, the weights are unchanged.
        stop: the largest `stop` of all processes.
    """

    losses: Losses
    gradient_norm: float
    finite: bool
    stop: int


class Stepper:
    """Takes optimiser steps.

    Args:
        processes: the connected processes.
        config: the recipe.
        method: the method on its device.
        wrapped: the method, distributed by Fabric.
        optimizer: the optimiser, prepared by Fabric.
        average: the average of the weights; None for methods that keep a teacher.
        crops_per_pass: most crops of one pass; None is no limit.

    Attributes:
        is_whole: whether the state is that after a full step, also if a step has raised an error.
    """

    def __init__(
        self,
        processes: Processes,
        config: PretrainConfig,
        method: Method,
        wrapped: _FabricModule,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None,
        crops_per_pass: int | None = None,
    ) -> None:
        self.processes, self.fabric = processes, processes.fabric
        self.config, self.method = config, method
        self.wrapped, self.optimizer, self.average = wrapped, optimizer, average
        self.is_whole = True
        self.crops_per_pass = crops_per_pass

    def keys(self, number: int) -> list[SampleKey]:
        """The keys of the samples that this process draws for a step, from 0."""
        share = share_of(self.config.batch_size, self.processes.rank, self.processes.count)
        return [SampleKey(self.config.seed, number, index) for index in share]

    def take(self, drawn: Drawn, number: int, stop: int = 0) -> Taken:
        """Take one step; a step whose loss or gradients are not finite changes no weight.

        Args:
            drawn: the samples of this process.
            number: index of the step, from 0.
            stop: larger than 0 if this process asks to stop; `Taken.stop` tells all processes.

        Raises:
            Exception: the problem of `drawn`.
            PeerError: the samples of another process could not be drawn.
        """
        stop = self.processes.agree(drawn.problem, stop)
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate(self.config, number)
        step = Step(number, self.config.steps)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._backward(drawn, step)
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        losses = self._reduced(losses)
        gradient_norm = float(cast(torch.Tensor, norm))
        finite = math.isfinite(gradient_norm) and math.isfinite(losses.total)
        if finite:
            self.is_whole = False
            self.optimizer.step()
            self.method.after_step(step)
            if self.average is not None:
                self.average.update_parameters(self.method)
            self.is_whole = True
        return Taken(losses, gradient_norm, finite, stop)

    def _backward(self, drawn: Drawn, step: Step) -> Losses:
        """Add the gradients of this process's samples, so that all samples of the step have equal weights.

        The mean of the returned losses over the processes is the mean over the samples of the step.
        """
        total, parts = torch.zeros((), device=self.fabric.device), dict[str, torch.Tensor]()
        whole = self.method.abilities.needs_whole_batch
        seeds = [key.number for key in drawn.keys]
        batches = batches_of(
            drawn.samples, seeds, whole=whole, device=self.fabric.device, most=self.crops_per_pass
        )
        done = 0
        for batch in batches:
            done += len(batch.superpatches)
            # DistributedDataParallel divides by the number of processes, whatever their shares.
            weight = len(batch.superpatches) * self.processes.count / self.config.batch_size
            assert batch.seeds is not None
            torch.manual_seed(
                int(batch.seeds[0])
            )  # for layers such as dropout, which have no seed per sample
            # Processes may have different numbers of batches, so each synchronizes gradients only with its last.
            with self.fabric.no_backward_sync(self.wrapped, enabled=done < len(drawn.samples)):
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

    def _reduced(self, losses: Losses) -> Losses:
        """The mean losses over all processes."""
        values = torch.stack([losses.total, *map(torch.as_tensor, losses.parts.values())])
        total, *parts = cast(torch.Tensor, self.fabric.all_reduce(values)).unbind()
        return Losses(total, dict(zip(losses.parts, parts, strict=True)))
