"""Checkpoints written in a thread: from copies, one at a time, and no failed write passes unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from MAESILCore.errors import CheckpointError
from MAESILCore.models.card import Card
from MAESILCore.training.saver import Saver

SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (8, 8, 8), "encoder": {"width": 48, "depth": 2}}
CARD = Card(name="a", method="maesil", config=SIZES, window=(-1000.0, 1000.0), mask={}, step=0)


class Disk:
    """Notes what is written to it, when it is let."""

    def __init__(self) -> None:
        self.may, self.written, self.addresses = threading.Event(), list[float](), set[int]()
        self.error: Exception | None = None

    def __call__(self, tensors: dict[str, torch.Tensor], card: Card, **_: Any) -> None:  # noqa: ANN401
        assert self.may.wait(30)
        if self.error is not None:
            raise self.error
        self.written.append(float(tensors["x"].mean()))
        self.addresses.add(tensors["x"].data_ptr())


def test_a_state_is_written_as_it_was_while_the_training_changes_it() -> None:
    disk, weights = Disk(), torch.ones(5)
    with Saver(disk) as saver:
        saver.save({"x": weights}, CARD)
        weights.fill_(2.0)  # the next step, while the disk is still busy
        saver.check()
        assert disk.written == []
        disk.may.set()
        saver.save({"x": weights}, CARD)
        weights.fill_(3.0)
    assert disk.written == [1.0, 2.0]
    assert len(disk.addresses) == 1  # the same memory again


def test_reserved_memory_is_used() -> None:
    disk = Disk()
    disk.may.set()
    with Saver(disk) as saver:
        saver.prepare({"x": torch.ones(5)})
        saver.save({"x": torch.full((5,), 4.0), "new": torch.ones(2)}, CARD)
    assert disk.written == [4.0]


@pytest.mark.parametrize("notice", [Saver.wait, lambda saver: saver.save({"x": torch.ones(1)}, CARD)])
def test_an_unwritten_checkpoint_ends_the_training(notice: Callable[[Saver], object]) -> None:
    disk = Disk()
    disk.may.set()
    disk.error = CheckpointError("The disk is full.")
    saver = Saver(disk)
    saver.save({"x": torch.ones(1)}, CARD)
    with pytest.raises(CheckpointError, match="full"):
        notice(saver)
    with saver:  # which has been told
        pass


def test_the_end_waits_and_tells_what_was_not_written() -> None:
    disk = Disk()
    disk.may.set()
    disk.error = CheckpointError("The disk is full.")
    saver = Saver(disk)
    saver.save({"x": torch.ones(1)}, CARD)
    with pytest.raises(CheckpointError, match="full"), saver:
        pass
    saver = Saver(disk)
    saver.save({"x": torch.ones(1)}, CARD)
    with pytest.raises(KeyError) as caught, saver:
        raise KeyError("something else")
    assert caught.value.__notes__ == ["The last checkpoint could not be written either: The disk is full."]
