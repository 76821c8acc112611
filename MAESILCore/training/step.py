"""One optimiser step over the samples of all processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch

from MAESILCore.methods.base import Losses, Step
from MAESILCore.nn.sharded import whole
from MAESILCore.training.batches import groups_of, smallest, stack
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.learner import Learner
from MAESILCore.training.loader import Drawn
from MAESILCore.training.processes import Processes, share_of
from MAESILCore.training.schedule import learning_rate
from MAESILCore.training.source import Sample, SampleKey


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
        learner: what the steps change; distributed.
        crops_per_pass: most crops of one pass; None is no limit.

    Attributes:
        is_whole: whether the state is that after a full step, also if a step has raised an error.
    """

    def __init__(
        self,
        processes: Processes,
        config: PretrainConfig,
        learner: Learner,
        crops_per_pass: int | None = None,
    ) -> None:
        self.processes, self.fabric = processes, processes.fabric
        self.config, self.method = config, learner.method
        self.wrapped, self.optimizer, self.average = learner.wrapped, learner.optimizer, learner.average
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
        self.method.begin_step(step)
        losses = self._backward(drawn, step)
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        losses = self._reduced(losses)
        gradient_norm = float(whole(cast(torch.Tensor, norm)))
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
        samples, most = drawn.samples, self.crops_per_pass
        if self.method.abilities.needs_whole_batch:
            samples, most = self._cropped_alike(samples), None
        for places, weight, is_last in self._passes(groups_of(samples, most)):
            seeds = [drawn.keys[place].number for place in places]
            batch = stack([samples[place] for place in places], self.fabric.device, seeds)
            batch = batch._replace(counts=weight > 0.0)
            torch.manual_seed(seeds[0])  # for layers such as dropout, which have no seed per sample
            # Processes may have different numbers of passes, so each synchronizes gradients only in its last. Sharded
            # ones are synchronized in each pass: no process has the memory for all of them.
            waits = not is_last and self.processes.mesh is None
            with self.fabric.no_backward_sync(self.wrapped) if waits else nullcontext():
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

    def _cropped_alike(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples, cropped at the end of each axis to the smallest extents of all processes, to share a batch."""
        mine = smallest(sample.voxels.shape for sample in samples)
        shape = smallest(self.processes.gather(mine))
        return [sample.cropped(shape) for sample in samples]

    def _passes(self, groups: Sequence[list[int]]) -> Iterator[tuple[list[int], float, bool]]:
        """The groups of samples, each with the weight of its loss and whether it is the last.

        Sharded weights are gathered in each pass, so all processes must make equally many: further ones weigh nothing.
        """
        count = len(groups) if self.processes.mesh is None else max(self.processes.gather(len(groups)))
        for number in range(count):
            group = groups[min(number, len(groups) - 1)]
            # Gradients are divided by the number of processes, whatever their shares.
            weight = len(group) * self.processes.count / self.config.batch_size
            yield group, weight if number < len(groups) else 0.0, number == count - 1

    def _reduced(self, losses: Losses) -> Losses:
        """The mean losses over all processes."""
        values = torch.stack([losses.total, *map(torch.as_tensor, losses.parts.values())])
        total, *parts = cast(torch.Tensor, self.fabric.all_reduce(values)).unbind()
        return Losses(total, dict(zip(losses.parts, parts, strict=True)))
