"""`make gpu`: superpatches a second and model FLOP/s utilisation of a training step, with and without torch.compile.

FLOPs are those of forward and backward pass, without any recomputation. Utilisation is their rate over that of the
fastest of some large matrix products of the same run and precision. Crops are on the device already, so this is the
step alone: forward, backward and AdamW. Without a GPU, small crops of preset `tiny` show only that it runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from MAESILCore.devices import computes_in_bf16, describe_device, is_out_of_memory, pick_device
from MAESILCore.errors import ConfigError
from MAESILCore.methods import create
from MAESILCore.methods.base import Batch, Method
from MAESILCore.methods.base import Step as TrainingStep
from MAESILCore.training import PretrainConfig
from MAESILCore.training.passes import adapt, one_sentence
from Testing.Benchmarks.flops import flops_of_pass
from Testing.Benchmarks.training import matmul_rate


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        presets: of method `maesil`.
        size: voxels of a superpatch along each axis.
        crops: superpatches of a step; halved until they fit into the memory.
        products: edges of the matrices whose product gives the peak.
        warm_up: steps that do not count; the first one compiles.
        steps: steps whose median time counts.
    """

    presets: Sequence[str]
    size: int
    crops: int
    products: Sequence[int]
    warm_up: int
    steps: int


GPU = Plan(("small", "base"), 128, 32, (4096, 8192, 16384), 5, 20)
CPU = Plan(("tiny",), 32, 2, (512, 1024), 2, 5)


@dataclass(frozen=True)
class Speed:
    """What was measured of a preset.

    Attributes:
        preset: its name.
        compiled: whether the transformer blocks were compiled.
        crops: superpatches of a step.
        superpatches_per_second: at the median time of a step.
        flops: floating-point operations per superpatch, forward and backward.
        utilisation: rate of these over the peak, 0 to 1.
        bytes: peak of the device's memory; 0 on a CPU.
        problem: why there are no figures; "" if there are.
    """

    preset: str
    compiled: bool
    crops: int = 0
    superpatches_per_second: float = 0.0
    flops: float = 0.0
    utilisation: float = 0.0
    bytes: int = 0
    problem: str = ""


def main() -> None:
    """Measure, print, and write `gpu.json` and `gpu.md` into the folder OUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--eager", action="store_true", help="leave torch.compile out; on a CPU it takes minutes"
    )
    options = parser.parse_args()
    device = pick_device(options.device)
    found = measure(
        device, CPU if device.type == "cpu" else GPU, (False,) if options.eager else (False, True)
    )
    folder = Path(os.environ.get("OUT") or ".venv/gpu")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (folder / "gpu.md").write_text(table(found), encoding="utf-8")
    print(table(found), end="")


def measure(device: torch.device, plan: Plan, compiled: Sequence[bool] = (False, True)) -> dict[str, object]:
    """The figures of a device, ready for JSON."""
    half = computes_in_bf16(device)

    def peak() -> float:
        return max(matmul_rate(device, half, size) for size in plan.products)

    # Before and after, since clocks fall with heat and other programs come and go.
    best, speeds = peak(), list[Speed]()
    rates = {}
    for preset in plan.presets:
        for compiles in compiled:
            speeds.append(_speed(preset, compiles, device, half, plan))
            if device.type == "cuda":
                torch.cuda.empty_cache()
    best = max(best, peak())
    for speed in speeds:
        rates[speed] = speed.superpatches_per_second * speed.flops / best
    return {
        "device": describe_device(device),
        "torch": torch.__version__,
        "precision": "bf16" if half else "fp32",
        "superpatch": plan.size,
        "peak": best,
        "speeds": [{**asdict(speed), "utilisation": rates[speed]} for speed in speeds],
    }


def table(found: dict[str, object]) -> str:
    """The figures in Markdown."""
    speeds = [Speed(**speed) for speed in found["speeds"]]  # type: ignore[attr-defined]
    lines = [
        f"{found['device']}, {found['precision']}, PyTorch {found['torch']}, superpatches of {found['superpatch']}^3. "
        f"Fastest matrix product: {float(str(found['peak'])) / 1e12:.3g} TFLOP/s.",
        "",
        "| preset | compile | superpatches per step | superpatches/s | GFLOP each | utilisation | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for speed in speeds:
        start = f"| {speed.preset} | {'yes' if speed.compiled else 'no'} | "
        if speed.problem:
            lines.append(f"{start}not measured: {speed.problem} | | | | |")
            continue
        memory = f"{speed.bytes / 2**30:.1f} GiB" if speed.bytes else ""
        lines.append(
            f"{start}{speed.crops} | {speed.superpatches_per_second:.1f} | {speed.flops / 1e9:.3g} "
            f"| {speed.utilisation:.1%} | {memory} |"
        )
    return "\n".join(lines) + "\n"


def _speed(preset: str, compiles: bool, device: torch.device, half: bool, plan: Plan) -> Speed:
    crops = plan.crops
    while True:
        try:
            with one_sentence():
                return _timed(preset, compiles, device, half, plan, crops)
        except ConfigError as error:  # no compiler
            return Speed(preset, compiles, problem=str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Here the error, which holds the tensors of the step, is gone.
        if crops == 1:
            return Speed(preset, compiles, problem="one superpatch does not fit into the memory")
        crops //= 2
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _timed(preset: str, compiles: bool, device: torch.device, half: bool, plan: Plan, crops: int) -> Speed:
    torch.manual_seed(0)
    torch.compiler.reset()
    method = create("maesil", {"superpatch_size": (plan.size,) * 3}, preset).to(device)
    flops = flops_of(method, batch_of(method, 1, device), half)
    adapt(method, PretrainConfig(preset=preset, compile=compiles))
    optimizer = torch.optim.AdamW(method.parameters(), fused=True)
    batch = batch_of(method, crops, device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(method, batch, half).backward()
        optimizer.step()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = [_seconds(step, device) for _ in range(plan.warm_up + plan.steps)][plan.warm_up :]
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Speed(preset, compiles, crops, crops / statistics.median(times), flops, bytes=memory)


def loss_of(method: Method, batch: Batch, half: bool) -> torch.Tensor:
    """The loss as the trainer computes it."""
    with torch.autocast(batch.superpatches.device.type, torch.bfloat16, enabled=half):
        return method.training_losses(batch, TrainingStep(0, 1)).total


def flops_of(method: Method, batch: Batch, half: bool) -> float:
    """The operations of a pass; its gradients are gone."""
    flops = flops_of_pass(lambda: loss_of(method, batch, half))
    method.zero_grad(set_to_none=True)
    return flops


def batch_of(method: Method, crops: int, device: torch.device) -> Batch:
    """Superpatches of noise under the masks of the default recipe."""
    config = method.config
    lattice = tuple(
        size // patch for size, patch in zip(config.superpatch_size, config.patch_size, strict=True)
    )
    strategy = PretrainConfig().mask
    assert strategy is not None
    masks = [
        torch.from_numpy(np.array(strategy.strategy().sample(lattice, seed).stages)) for seed in range(crops)
    ]
    return Batch(
        superpatches=torch.rand(crops, 1, *config.superpatch_size, device=device),
        stages=torch.stack(masks).to(device),
        start=torch.zeros(crops, 3, dtype=torch.int64, device=device),
        spacing=torch.ones(crops, 3, device=device),
        seeds=torch.arange(crops, device=device),
    )


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Time of a step, until the device has done it."""
    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
