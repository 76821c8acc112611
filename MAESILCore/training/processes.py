"""The processes of a training: one, or those that torchrun or a scheduler has started."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from MAESILCore.devices import pick_device, pick_precision
from MAESILCore.errors import Cancelled, ConfigError, PeerError
from MAESILCore.jobfolder import message_of
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.sharding import can_shard, shard

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.distributed.device_mesh import DeviceMesh

    from MAESILCore.methods.base import Method

Result = TypeVar("Result")

#: How long a process waits for the others: they may validate, or write a checkpoint to a slow disk.
PATIENCE = timedelta(minutes=30)
#: How long the others wait while the first process reads all scans.
OPENING_PATIENCE = timedelta(hours=12)

#: Weights of a model from which `strategy: auto` shards it: the preset `paper` has 49 million, `base` 28 million.
SHARDED_FROM = 40_000_000

#: Parts of the messages of gloo and NCCL when a process has ended or cannot be reached.
_LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|timed out", re.I)


def world_size() -> int:
    """Number of processes of this training."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_share(batch_size: int, count: int) -> None:
    """Check that each process gets a crop of each step.

    Raises:
        ConfigError: there are more processes than crops.
    """
    if count > batch_size:
        message = (
            f"{count} processes cannot share a batch of {batch_size} crops: start at most {batch_size} "
            "processes, or give a larger batch_size."
        )
        raise ConfigError(message)


def share_of(batch_size: int, rank: int, count: int) -> range:
    """The part of a step's samples that one process draws; the first processes draw one more if need be."""
    each, more = divmod(batch_size, count)
    first = rank * each + min(rank, more)
    return range(first, first + each + (rank < more))


@dataclass(frozen=True)
class Processes:
    """The connected processes.

    Attributes:
        fabric: distributes the training.
        precision: Fabric's name of the precision.
        control: group for small messages that must not wait for the device; None for one process.
        opening: group with a long timeout, for the time before the first step; None for one process.
        mesh: the processes over which the weights are sharded; None if each holds all weights.
    """

    fabric: Fabric
    precision: str
    control: Any = None
    opening: Any = None
    mesh: DeviceMesh | None = None

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return int(self.fabric.global_rank)

    @property
    def count(self) -> int:
        """The number of processes."""
        return int(self.fabric.world_size)

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Disconnect after the block, as PyTorch may else abort a process that ends; not after an error.

        Then another process may be gone, and CUDA would wait for it.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, Cancelled):
                self._disconnect()
            raise
        self._disconnect()

    def _disconnect(self) -> None:
        if self.count > 1:
            dist.destroy_process_group()

    def share(self, outcome: object) -> object:
        """What the first process gave; for the time before the first step."""
        if self.count == 1:
            return outcome
        given = [outcome]
        dist.broadcast_object_list(given, 0, group=self.opening)
        return given[0]

    def gather(self, value: Result) -> list[Result]:
        """The values of all processes, in their order; all must call it."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value, group=self.control)
        return values

    def agree(self, problem: Exception | None = None, stop: int = 0) -> int:
        """Tell all processes of a problem or a stop, so that none waits for another that has ended.

        Args:
            problem: what went wrong in this process.
            stop: larger than 0 to stop.

        Returns:
            The largest `stop` of all processes.

        Raises:
            Exception: `problem`, in the process that gave it.
            PeerError: another process has a problem.
        """
        if self.count > 1:
            told = torch.tensor([problem is not None, stop])
            dist.all_reduce(told, dist.ReduceOp.MAX, group=self.control)
            if told[0]:
                sentences: list[str | None] = [None] * self.count
                mine = None if problem is None else message_of(problem)
                dist.all_gather_object(sentences, mine, group=self.control)
                if problem is None:
                    rank, sentence = next((n, text) for n, text in enumerate(sentences) if text)
                    raise PeerError(f"Process {rank} of {self.count} has failed: {sentence}")
            stop = int(told[1])
        if problem is not None:
            raise problem
        return stop


@contextmanager
def lost_processes() -> Iterator[None]:
    """Report a process that has ended or cannot be reached in one sentence.

    Raises:
        PeerError: the connection to another process failed during the block.
    """
    try:
        yield
    except RuntimeError as error:
        is_lost = isinstance(error, dist.DistError) or _LOST.search(str(error))
        if world_size() == 1 or not is_lost:
            raise
        raise PeerError(
            "Another process of this training has ended or cannot be reached. The run can be resumed from its newest "
            "checkpoint, with any number of processes."
        ) from error


def launch(config: PretrainConfig, method: Method, device: str) -> Processes:
    """Connect the processes.

    Args:
        config: the recipe.
        method: the method, which Fabric shards in `setup_module` if there is a `Processes.mesh`.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        ConfigError: the device is not there, or the number of processes does not fit the recipe.
    """
    import lightning_fabric
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    place, world = pick_device(device), world_size()
    chosen: Any = pick_precision(place) if config.precision == "auto" else config.precision
    if world == 1:
        devices = 1 if place.index is None else [place.index]
        fabric = lightning_fabric.Fabric(accelerator=place.type, devices=devices, precision=chosen)
        fabric.launch()
        return Processes(fabric, chosen)
    check_share(config.batch_size, world)
    if method.abilities.needs_whole_batch and not method.abilities.gathers_statistics:
        message = (
            f"The loss of the method {config.method} needs the whole batch, so one process must train it: start it "
            "without torchrun."
        )
        raise ConfigError(message)
    strategy: Any = DDPStrategy(timeout=PATIENCE)
    sharded = is_sharded(config, method)
    if sharded:
        from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

        strategy = ModelParallelStrategy(
            lambda whole, mesh: shard(whole, mesh["data_parallel"]),
            data_parallel_size=world,
            tensor_parallel_size=1,
            timeout=PATIENCE,
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = lightning_fabric.Fabric(
        accelerator=place.type,
        devices=local,
        num_nodes=world // local,
        strategy=strategy,
        precision=chosen,
        # Any launcher that sets torchrun's variables will do.
        plugins=[TorchElasticEnvironment()],
    )
    fabric.launch()
    # A token of one entry has strides of its own; nothing is slower for it.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    control, opening = (
        dist.new_group(backend="gloo", timeout=timeout) for timeout in (PATIENCE, OPENING_PATIENCE)
    )
    mesh = strategy.device_mesh["data_parallel"] if sharded else None
    return Processes(fabric, chosen, control, opening, mesh)


def is_sharded(config: PretrainConfig, method: Method) -> bool:
    """Whether several processes share the weights of a method; see `PretrainConfig.strategy`.

    Raises:
        ConfigError: the recipe wants it, and PyTorch is too old.
    """
    if config.strategy == "auto":
        return can_shard() and sum(weight.numel() for weight in method.parameters()) >= SHARDED_FROM
    if config.strategy == "fsdp" and not can_shard():
        message = f"Sharding needs PyTorch 2.6 or newer, not {torch.__version__}: update it, or set strategy to ddp."
        raise ConfigError(message)
    return config.strategy == "fsdp"
