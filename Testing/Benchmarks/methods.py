"""A training step of every method beside its counterparts: forward, loss, backward and optimiser, in fp32.

All contenders and a large matrix product take turns in one process; on a CPU, processor time of one thread counts. So
ratios hold on a busy machine, too. Operations are those of forward and backward pass that PyTorch counts: matrix
products and convolutions, no Fourier transforms.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import METHODS, create
from MAESILCore.methods.base import Batch
from MAESILCore.methods.base import Step as TrainingStep
from MAESILCore.training import load_config
from Testing.Benchmarks.counterparts import Counterpart, counterparts
from Testing.Benchmarks.timing import best_of

#: Crops of a step, and their voxels along each axis, which the patches of all presets divide.
CROPS, SIDE = 2, 96
#: Share that the masks of the counterparts hide; those of a method are of its default recipe.
SHARE = 0.75
_PRODUCT = 2048
_STEP = TrainingStep(0, 1)


def method_rows(
    rounds: int,
    device: torch.device,
    preset: str = "tiny",
    side: int = SIDE,
    names: Iterable[str] = METHODS,
) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, how fast a method is beside the counterpart."""
    torch.manual_seed(0)
    ours = {name: OurStep(name, preset, side, device) for name in names}
    theirs = {
        name: {
            other: TheirStep(network.to(device), crops(side, device), masks(step.lattice, device))
            for other, network in counterparts(step.method, side, SHARE).items()
        }
        for name, step in ours.items()
    }
    left, right = (torch.randn(_PRODUCT, _PRODUCT, device=device) for _ in range(2))
    contenders: dict[str, Callable[[], object]] = {"product": lambda: float((left @ right)[0, 0])}
    contenders |= ours
    contenders |= {
        f"{name}, {other}": step for name, steps in theirs.items() for other, step in steps.items()
    }
    seconds = _timed(contenders, rounds, device)
    rate = 2.0 * _PRODUCT**3 / seconds["product"]

    def measured(key: str, step: Step) -> str:
        flops = step.flops()
        share = flops / seconds[key] / rate
        return f"{seconds[key]:.3f} s, {flops / 1e9:.1f} GFLOP, {share:.0%} of the matmul rate"

    clock = ", processor time of one thread" if device.type == "cpu" else ""
    rows = [(f"Matrix product {_PRODUCT}^3, fp32{clock}", f"{rate / 1e9:.0f} GFLOP/s", "")]
    for name, step in ours.items():
        rows.append((f"Step of {name}, {preset}, {CROPS} crops of {side}^3", measured(name, step), ""))
        for other, their in theirs[name].items():
            key = f"{name}, {other}"
            ratio = seconds[key] / seconds[name]
            rows.append((f"  {other}", measured(key, their), f"{name} {ratio:.2f} x as fast"))
    return rows


class Step(ABC):
    """A training step of some network."""

    def __init__(self, network: nn.Module) -> None:
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, fused=True)

    @abstractmethod
    def loss(self) -> torch.Tensor:
        """The loss of the batch."""

    @abstractmethod
    def before(self) -> None:
        """What precedes the pass."""

    @abstractmethod
    def after(self) -> None:
        """What follows the optimiser."""

    def __call__(self) -> float:
        """Take the step; reading the loss waits for the device."""
        self.before()
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.after()
        return float(loss.detach())

    def flops(self) -> float:
        """Operations of forward and backward pass, fused attention written out so that it is counted."""
        counter = FlopCounterMode(display=False)
        with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            self.loss().backward()
        return float(counter.get_total_flops())


class OurStep(Step):
    """A step of a method under the masks of its default recipe."""

    def __init__(self, name: str, preset: str, side: int, device: torch.device) -> None:
        changes = {"method": name, "preset": preset, "model": {"superpatch_size": [side] * 3}}
        config = load_config(None, changes)
        self.method = create(name, config.model, preset).to(device)
        super().__init__(self.method)
        self.lattice = tuple(side // patch for patch in self.method.config.patch_size)
        strategy = None if config.mask is None else config.mask.strategy()
        hidden = None if strategy is None else masks(self.lattice, device, strategy)
        self.batch = Batch(crops(side, device), hidden, seeds=torch.arange(CROPS, device=device))

    def loss(self) -> torch.Tensor:
        return self.method.training_losses(self.batch, _STEP).total

    def before(self) -> None:
        self.method.begin_step(_STEP)

    def after(self) -> None:
        self.method.after_step(_STEP)


class TheirStep(Step):
    """A step of a counterpart."""

    def __init__(self, network: Counterpart, superpatches: torch.Tensor, stages: torch.Tensor) -> None:
        super().__init__(network)
        self.network, self.batch = network, Batch(superpatches, stages)

    def loss(self) -> torch.Tensor:
        return self.network.loss(self.batch)

    def before(self) -> None:
        """Nothing."""

    def after(self) -> None:
        self.network.after_step()


def _timed(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, float]:
    """Shortest seconds of each contender."""
    if device.type != "cpu":
        return best_of(contenders, rounds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return best_of(contenders, rounds, time.process_time)
    finally:
        torch.set_num_threads(threads)


def crops(side: int, device: torch.device) -> torch.Tensor:
    """(B, 1, K, J, I) of noise."""
    return torch.rand(CROPS, 1, side, side, side, device=device)


def masks(
    lattice: tuple[int, ...], device: torch.device, strategy: MaskStrategy | None = None
) -> torch.Tensor:
    """(B, Dk, Dj, Di) uint8, see `Batch.stages`; by default random ones of `SHARE`."""
    k, j, i = lattice
    chosen = strategy or MaskStrategy(mode="random", ratio=SHARE)
    stages = [np.array(chosen.sample((k, j, i), seed).stages) for seed in range(CROPS)]
    return torch.from_numpy(np.stack(stages)).to(device)
