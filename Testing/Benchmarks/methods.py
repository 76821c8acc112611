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

from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import METHODS, create
from MAESILCore.methods.base import Batch
from MAESILCore.methods.base import Step as TrainingStep
from MAESILCore.nn.convolution import Conv3d
from MAESILCore.nn.tokens import lattice_of
from MAESILCore.training import PretrainConfig, load_config
from Testing.Benchmarks.counterparts import Counterpart, counterparts
from Testing.Benchmarks.flops import flops_of_pass
from Testing.Benchmarks.timing import best_of

#: Crops of a step, and their voxels along each axis, which the patches of all presets divide.
CROPS, SIDE = 2, 96
#: Share that the masks of the counterparts hide; those of a method are of its default recipe.
SHARE = 0.75
_PRODUCT = 2048
_STEP = TrainingStep(0, 1)

Triple = tuple[int, int, int]


def method_rows(
    rounds: int,
    device: torch.device,
    preset: str = "tiny",
    side: int = SIDE,
    names: Iterable[str] = METHODS,
) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, how fast a method is beside the counterpart."""
    torch.manual_seed(0)
    ours = {name: step_of(name, preset, side, device) for name in names}
    theirs = {
        name: {
            other: TheirStep(network.to(device), step)
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


def one_crop_rows(rounds: int) -> list[tuple[str, str, str]]:
    """Rows on a pass of one crop on a CPU, with our choice of convolutions and with PyTorch's."""
    torch.manual_seed(0)
    config = load_config("maesil-plus", {})
    k, j, i = config.crop.size
    ours, usual = (OurStep(config, (k, j, i), 1, torch.device("cpu")) for _ in range(2))
    for module in usual.method.modules():
        if isinstance(module, Conv3d):
            module.__class__ = nn.Conv3d
    seconds = _timed({"ours": ours, "usual": usual}, rounds, torch.device("cpu"))
    what = f"Step of recipe maesil-plus, one crop of {k} x {j} x {i}, processor time of one thread"
    ratio = f"{seconds['usual'] / seconds['ours']:.1f} x as fast"
    return [
        (what, f"{seconds['ours']:.2f} s", ratio),
        ("  PyTorch's choice of convolutions", f"{seconds['usual']:.2f} s", "1.0 x"),
    ]


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
        """The operations of the pass."""
        return flops_of_pass(self.loss)


class OurStep(Step):
    """A step of a method under the masks of its recipe."""

    def __init__(self, config: PretrainConfig, size: Triple, count: int, device: torch.device) -> None:
        self.method = create(config.method, config.model, config.preset).to(device)
        super().__init__(self.method)
        voxels = torch.rand(count, 1, *size, device=device)
        self.lattice = lattice_of(voxels, self.method.config.patch_size)
        stages = None if config.mask is None else masks(config.mask.strategy(), self.lattice, count, device)
        self.batch = Batch(voxels, stages, seeds=torch.arange(count, device=device))

    def loss(self) -> torch.Tensor:
        return self.method.training_losses(self.batch, _STEP).total

    def before(self) -> None:
        self.method.begin_step(_STEP)

    def after(self) -> None:
        self.method.after_step(_STEP)


class TheirStep(Step):
    """A step of a counterpart with the crops of ours and masks of `SHARE`."""

    def __init__(self, network: Counterpart, ours: OurStep) -> None:
        super().__init__(network)
        voxels = ours.batch.superpatches
        drawn = MaskStrategy(mode="random", ratio=SHARE)
        self.network = network
        self.batch = Batch(voxels, masks(drawn, ours.lattice, len(voxels), voxels.device))

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


def step_of(name: str, preset: str, side: int, device: torch.device) -> OurStep:
    """A step of a method with its default recipe and `CROPS` crops of equal sides."""
    changes = {"method": name, "preset": preset, "model": {"superpatch_size": [side] * 3}}
    return OurStep(load_config(None, changes), (side, side, side), CROPS, device)


def masks(strategy: MaskStrategy, lattice: Triple, count: int, device: torch.device) -> torch.Tensor:
    """(B, Dk, Dj, Di) uint8, see `Batch.stages`."""
    stages = [np.array(strategy.sample(lattice, seed).stages) for seed in range(count)]
    return torch.from_numpy(np.stack(stages)).to(device)
