"""Writes checkpoints in a thread while the training goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol

import torch

from MAESILCore.models.card import Card
from MAESILCore.nn.sharded import whole


class Write(Protocol):
    """Writes one checkpoint; called in the thread."""

    def __call__(self, tensors: dict[str, torch.Tensor], card: Card, *, best: bool, seconds: float) -> None:
        """See `Run.save`."""


class Saver:
    """Copies the state of a run and writes the copy in a thread; at most one checkpoint is being written.

    The copies stay in memory for the next checkpoint. Sharded tensors are copied whole, for which the other processes
    must call `sharding.gathered` meanwhile. Use it in a `with` block, whose end waits for the last write.

    Args:
        write: writes one checkpoint.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._copies: dict[str, torch.Tensor] = {}
        self._pending: Future[None] | None = None

    def prepare(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Reserve the memory of the copies in the thread, as the first touch of memory is slow."""
        self.wait()
        self._pending = self._worker.submit(self._reserve, dict(tensors))

    def save(self, tensors: Mapping[str, torch.Tensor], card: Card, *, best: bool = False) -> float:
        """Copy the tensors and start writing; returns the seconds that the caller stood still.

        Raises:
            MaesilError, OSError: the checkpoint before could not be written.
        """
        started = time.perf_counter()
        self.wait()
        copies = self._copy(tensors)
        seconds = time.perf_counter() - started
        self._pending = self._worker.submit(self._write, copies, card, best=best, seconds=seconds)
        return seconds

    def check(self) -> None:
        """Raise the error of a write that has failed; does not wait."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            MaesilError, OSError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as unwritten:
            if error is None:
                raise
            error.add_note(f"The last checkpoint could not be written either: {unwritten}")
        finally:
            self._worker.shutdown()

    def _copy(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors in the memory of this machine."""
        self._copies = {name: self._place(name, tensor) for name, tensor in tensors.items()}
        with torch.no_grad():
            for name, tensor in tensors.items():
                self._copies[name].copy_(whole(tensor), non_blocking=tensor.is_cuda)
        for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
            torch.cuda.synchronize(device)
        return dict(self._copies)

    def _reserve(self, tensors: dict[str, torch.Tensor]) -> None:
        self._copies = {name: self._place(name, tensor).zero_() for name, tensor in tensors.items()}

    def _place(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """The copy of an earlier checkpoint, or new memory; pinned for CUDA, which then copies several times faster."""
        place = self._copies.get(name)
        if place is not None and place.shape == tensor.shape and place.dtype == tensor.dtype:
            return place
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
