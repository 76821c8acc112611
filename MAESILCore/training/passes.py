"""How a method computes its passes: activation checkpointing, compilation, and the crops per pass by trial."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch

from MAESILCore.devices import is_out_of_memory
from MAESILCore.errors import ConfigError, OutOfMemoryError
from MAESILCore.methods.base import Method, Step
from MAESILCore.nn.transformer import Blocks
from MAESILCore.optional import require
from MAESILCore.training.batches import stack
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.source import Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Share of the free memory that a pass may use; the rest is for crops of other extents and for fragments.
_SHARE = 0.8
#: Seconds between two looks at the memory of the process.
_LOOK = 0.002


def adapt(method: Method, config: PretrainConfig) -> None:
    """Set activation checkpointing and compilation of the transformer blocks; weights and their names stay.

    Raises:
        ConfigError: the method has no transformer blocks, or PyTorch cannot compile on this system.
    """
    if not (config.activation_checkpointing or config.compile):
        return
    transformers = [module for module in method.modules() if isinstance(module, Blocks)]
    if not transformers:
        wanted = "activation_checkpointing" if config.activation_checkpointing else "compile"
        message = f"The method {config.method} has no transformer blocks: set {wanted} to false."
        raise ConfigError(message)
    for transformer in transformers:
        transformer.keeps_activations = not config.activation_checkpointing
        for block in transformer.blocks if config.compile else ():
            # Crops have many extents; a kernel for each would take long to compile.
            block.compile(dynamic=True)


class Trial:
    """Passes over made-up crops of the largest extents, before the first step; they change nothing.

    Args:
        fabric: for the precision and the device.
        config: the recipe.
        method: the method on its device.
    """

    def __init__(self, fabric: Fabric, config: PretrainConfig, method: Method) -> None:
        self.fabric, self.config, self.method = fabric, config, method
        self._memory = Memory(fabric.device)

    def check_compiler(self) -> None:
        """Compile forward and backward pass once.

        Raises:
            ConfigError: the compiler fails.
        """
        with one_sentence():
            # A variance needs two.
            self._compute(2 if self.method.abilities.needs_whole_batch else 1)

    def crops_that_fit(self, most: int) -> int:
        """The number of crops for one pass, doubled as long as the memory suffices.

        Args:
            most: the largest useful number.

        Raises:
            OutOfMemoryError: one crop does not fit.
        """
        # Gradients come with the trial itself; the two moments of AdamW and the buckets of the gradients come later.
        weights = sum(weight.numel() * weight.element_size() for weight in self.method.parameters())
        budget = (self._memory.free() - 3 * weights) * _SHARE

        def share(crops: int) -> float | None:
            try:
                with one_sentence(), self._memory:
                    self._compute(crops)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                return None
            finally:
                if self.fabric.device.type == "cuda":
                    torch.cuda.empty_cache()
            return self._memory.peak / budget if budget > 0 else None

        return doubled(share, most)

    def _compute(self, crops: int) -> None:
        """Forward and backward pass; gradients and buffers are as before."""
        buffers = [(buffer, buffer.clone()) for buffer in self.method.buffers()]
        batch = stack([self._sample(crop) for crop in range(crops)], self.fabric.device, range(crops))
        try:
            with self.fabric.autocast():
                losses = self.method.training_losses(batch, Step(0, self.config.steps))
            torch.autograd.backward(losses.total)
        finally:
            self.method.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)

    def _sample(self, number: int) -> Sample:
        shape = self.config.crop.size
        generator = np.random.default_rng(number)
        k, j, i = (size // patch for size, patch in zip(shape, self.method.config.patch_size, strict=True))
        stages = None
        if self.config.mask is not None:
            stages = np.array(self.config.mask.strategy().sample((k, j, i), number).stages)
        return Sample(generator.random(shape, np.float32), stages, (0, 0, 0), (1.0, 1.0, 1.0))


def doubled(share: Callable[[int], float | None], most: int) -> int:
    """The largest power of two, or `most`, that fits.

    Args:
        share: the share of the memory that a number of crops needs; None if it does not fit.
        most: the largest number.

    Raises:
        OutOfMemoryError: 1 does not fit.
    """
    crops, needed = 1, share(1)
    if needed is None or needed > 1.0:
        raise OutOfMemoryError(
            "The memory is too small for a pass of one crop: choose a smaller preset or crop.size, or set "
            "activation_checkpointing to true."
        )
    # A trial is made only if it should fit: the kernel may end a process that takes too much.
    while crops < most and needed * min(2.0, most / crops) <= 1.0:
        wanted = min(2 * crops, most)
        needed = share(wanted)
        if needed is None or needed > 1.0:
            break
        crops = wanted
    return crops


class Memory(AbstractContextManager["Memory"]):
    """Measures the highest memory of the device during a block.

    Attributes:
        peak: bytes beyond those in use when this object was made.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.peak = device, 0
        self._before = self._used()

    def free(self) -> float:
        """Free bytes for this process; processes of one machine share its memory."""
        if self.device.type == "cuda":
            return float(torch.cuda.mem_get_info(self.device)[0])
        psutil = require("psutil", "Finding crops_per_pass by trial")
        return float(psutil.virtual_memory().available) / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

    def __enter__(self) -> Memory:
        self.peak = 0
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._over = threading.Event()
            self._watch = threading.Thread(target=self._look, daemon=True)
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._over.set()
            self._watch.join()

    def _used(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        psutil = require("psutil", "Finding crops_per_pass by trial")
        return int(psutil.Process().memory_info().rss)

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, self._used() - self._before)
            if self._over.wait(_LOOK):
                return


@contextmanager
def one_sentence() -> Iterator[None]:
    """Report a failure of PyTorch's compiler in one sentence.

    Raises:
        ConfigError: the compiler failed during the block.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0].rstrip(".:") if lines else type(error).__name__
        message = f"PyTorch cannot compile the model on this system ({reason}): set compile to false."
        raise ConfigError(message) from error
