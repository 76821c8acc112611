"""How long the training loop stands still for a checkpoint, against writing it at once."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch

from MAESILCore.methods import create
from MAESILCore.training import PretrainConfig, Run
from MAESILCore.training.average import make_average
from MAESILCore.training.saver import Saver
from MAESILCore.training.schedule import make_optimizer
from MAESILCore.training.state import Counts, card_of, pack

PRESET = "base"


def checkpoint_rows(rounds: int, device: torch.device) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, ratio."""
    config = PretrainConfig(preset=PRESET)
    method = create(config.method, config.model, config.preset).to(device)
    average, optimizer = make_average(method, config.average_decay), make_optimizer(method, config)
    for weight in method.parameters():
        weight.grad = torch.full_like(weight, 1e-3)
    optimizer.step()  # makes the optimiser's state
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # not in memory, as /tmp may be
        run = Run.create(Path(folder) / "run")

        def state() -> dict[str, torch.Tensor]:
            return pack(method, average.module, optimizer, Counts())

        def write(tensors: dict[str, torch.Tensor], card: object, *, best: bool, seconds: float) -> None:
            run.checkpoints.save(1, tensors, card, keep=2, best=best, seconds=seconds)

        size = sum(tensor.nbytes for tensor in state().values())
        still, whole = [], []
        with Saver(write) as saver:
            saver.prepare(state())
            saver.wait()
            for _ in range(rounds):
                started = time.perf_counter()
                saver.save(state(), card_of(config, method, 1, 1))
                still.append(time.perf_counter() - started)
                saver.wait()  # as a run has more time between checkpoints than one takes
                whole.append(time.perf_counter() - started)
    ratio = statistics.median(whole) / statistics.median(still)
    return [
        (
            f"Training stands still for a checkpoint of preset {PRESET} ({size / 2**20:.0f} MiB), median of {rounds}",
            f"{statistics.median(still):.3f} s, at most {max(still):.3f} s",
            f"{ratio:.0f} x less than its writing ({statistics.median(whole):.2f} s)",
        )
    ]
