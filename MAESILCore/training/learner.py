"""The method in training, the average of its weights and its optimiser, whole in each process or sharded over all."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch.optim.swa_utils import AveragedModel

from MAESILCore.methods import create
from MAESILCore.methods.base import Method
from MAESILCore.models.weights import shortened
from MAESILCore.training.average import make_average
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.processes import Processes
from MAESILCore.training.schedule import make_optimizer
from MAESILCore.training.sharding import gathered, shard
from MAESILCore.training.state import Counts, pack, unpack, unpack_optimizer

if TYPE_CHECKING:
    from lightning_fabric.wrappers import _FabricModule


class Learner:
    """What a training changes. Call `distribute` before the first step.

    Args:
        method: the whole method on its device; `distribute` shards it in place.
        config: the recipe.
        processes: the connected processes.
        tensors: the state to go on from, from a checkpoint; None for a new run.
        step: steps taken.

    Attributes:
        method: the method.
        average: the average of its weights; None for methods that keep a teacher.
        counts: whole numbers of the state.
        wrapped: the method, distributed by Fabric; only after `distribute`, like `optimizer`.
        optimizer: the optimiser, prepared by Fabric.

    Raises:
        CheckpointError: the tensors belong to another model.
    """

    wrapped: _FabricModule
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        method: Method,
        config: PretrainConfig,
        processes: Processes,
        tensors: dict[str, torch.Tensor] | None,
        step: int,
    ) -> None:
        self.method, self._config, self._processes, self._tensors = method, config, processes, tensors
        self.counts = Counts()
        self.average: AveragedModel | None = None
        if not method.abilities.keeps_teacher:
            self.average = make_average(method, config.average_decay)
        if tensors is not None:
            self.counts = unpack(tensors, method, self._averaged, step)
            if self.average is not None:
                self.average.n_averaged.fill_(self.counts.averaged)

    def distribute(self) -> None:
        """Let Fabric distribute the method; make the optimiser, whose state is sharded like the weights."""
        fabric, mesh = self._processes.fabric, self._processes.mesh
        if mesh is not None and self._averaged is not None:
            shard(self._averaged, mesh)
        self.wrapped = fabric.setup_module(self.method)
        self.wrapped.mark_forward_method("training_losses")
        self.optimizer = cast(
            torch.optim.Optimizer, fabric.setup_optimizers(make_optimizer(self.method, self._config))
        )
        if self._tensors is not None:
            unpack_optimizer(self._tensors, self.optimizer)
            self._tensors = None

    def state(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, which may be sharded."""
        if self.average is not None:
            self.counts.averaged = int(self.average.n_averaged)
        return pack(self.method, self._averaged, self.optimizer, self.counts)

    def shown(self) -> Method:
        """What is validated and shown: the average, if there is one.

        Of sharded weights the first process gets a copy; all processes must call this.
        """
        shown = self._averaged or self.method
        if self._processes.mesh is None:
            return shown
        weights = gathered(shown.state_dict(), keep=self._processes.rank == 0)
        if weights:
            shown = create(self._config.method, self._config.model, self._config.preset)
            shown.load_state_dict(weights)
            shown.to(self._processes.fabric.device)
        return shown

    def final(self) -> dict[str, torch.Tensor]:
        """The weights of the final model in half precision, in the first process; all processes must call this."""
        prefix = "model." if self.average is None else "average."
        weights = gathered((self._averaged or self.method).state_dict(), keep=self._processes.rank == 0)
        return {prefix + name: tensor for name, tensor in shortened(weights).items()}

    @property
    def _averaged(self) -> Method | None:
        """The average as a method."""
        return None if self.average is None else cast(Method, self.average.module)
