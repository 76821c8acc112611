"""`python -m Testing.Benchmarks.presets`: size, work, memory and time of each preset on this device.

Each row is measured in a process of its own, with the default recipe of the method, with and without activation
checkpointing ("recomputed"). *Kept* is computed: weights, gradients, two moments of AdamW and the average, in fp32.
*Per crop* is how much the peak of a forward and backward pass grows for each further crop. *Seconds* are those of an
optimiser step with one crop; *processor seconds*, of a forward and backward pass over all threads, also hold where
other programs run. *Peak* is what PyTorch has reserved on a GPU, else the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from MAESILCore.devices import describe_device, pick_device, pick_precision
from MAESILCore.methods import METHODS, create, find
from MAESILCore.training import PretrainConfig, load_config
from MAESILCore.training.passes import Memory, adapt
from MAESILCore.training.trial import estimate_training
from Testing.Benchmarks.gpu import batch_of, flops_of, loss_of

#: Copies of the weights in the memory of the device (see above) and in a checkpoint (no gradients), 4 bytes each.
KEPT, SAVED = 5, 4
#: Crops of the larger pass.
CROPS = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--only", action="append", metavar="METHOD/PRESET", help="a preset; else all")
    parser.add_argument(
        "--crop", type=int, help="voxels of the crop along each axis; else those of the recipe"
    )
    parser.add_argument("--out", type=Path, help="file for the table, beside the output")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # measures in this process
    parser.add_argument("--recompute", action="store_true", help=argparse.SUPPRESS)  # with --one
    options = parser.parse_args()
    presets = [f"{method}/{preset}" for method in METHODS for preset in find(method).presets]
    if unknown := set(options.only or ()) - set(presets):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose of {', '.join(presets)}")
    chosen = options.only or presets
    if options.one:
        print(json.dumps(measure(chosen[0], options.device, options.crop, options.recompute)))
        return
    lines = [
        f"{describe_device(pick_device(options.device))}, PyTorch {torch.__version__}.",
        "",
        "| preset | recomputed | parameters | GFLOP per crop | kept | per crop | checkpoint | seconds "
        "| processor seconds | peak |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        row(preset, options.device, options.crop, recompute)
        for preset in chosen
        for recompute in (False, True)
    ]
    text = "\n".join(lines)
    print(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


def row(name: str, device: str, crop: int | None, recompute: bool) -> str:
    """The row of a preset, measured in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "Testing.Benchmarks.presets",
        "--one",
        "--only",
        name,
        "--device",
        device,
    ]
    command += [] if crop is None else ["--crop", str(crop)]
    command += ["--recompute"] if recompute else []
    start = f"| {name} | {'yes' if recompute else 'no'} | "
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"the process ended with status {done.returncode}"]
        return f"{start}not measured: {said[-1][:120]} | | | | | | | |"
    found = json.loads(done.stdout.splitlines()[-1])
    bytes_of_weights = 4 * found["parameters"]
    return (
        f"{start}{found['parameters'] / 1e6:.1f} M | {found['flops'] / 1e9:.3g} "
        f"| {KEPT * bytes_of_weights / 2**20:.0f} MiB | {found['per_crop'] / 2**20:.0f} MiB "
        f"| {SAVED * bytes_of_weights / 2**20:.0f} MiB | {found['seconds']:.3g} ({found['precision']}) "
        f"| {found['processor']:.3g} "
        f"| {found['peak'] / 2**30:.2f} GiB |"
    )


def measure(name: str, device: str, crop: int | None, recompute: bool) -> dict[str, object]:
    """What a preset takes, measured in this process."""
    method, preset = name.split("/")
    changes: dict[str, object] = {"method": method, "preset": preset, "batch_size": 1}
    changes["activation_checkpointing"] = recompute
    if crop is not None:
        changes |= {"crop": {"size": [crop] * 3}, "model": {"superpatch_size": [crop] * 3}}
    config, place = load_config(None, changes), pick_device(device)
    precision = pick_precision(place) if config.precision == "auto" else config.precision
    per_crop, processor = pass_of(config, place, half=precision.startswith("bf16"))
    model = create(method, config.model, preset)
    flops = flops_of(model, batch_of(model, 1, torch.device("cpu")), half=False)
    cost = estimate_training(config, device)
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "flops": flops,
        "per_crop": per_crop,
        "precision": precision,
        "processor": processor,
        "seconds": cost.seconds_per_step,
        "peak": cost.bytes,
    }


def pass_of(config: PretrainConfig, device: torch.device, half: bool) -> tuple[float, float]:
    """Bytes by which the peak of a forward and backward pass grows per crop, and processor seconds of one crop."""
    model = create(config.method, config.model, config.preset).to(device)
    adapt(model, config)
    memory, peaks, seconds = Memory(device), list[int](), 0.0
    # The last pass with one crop is warm.
    for crops in (1, CROPS, 1):
        batch, started = batch_of(model, crops, device), time.process_time()
        with memory:
            loss_of(model, batch, half).backward()
        seconds = time.process_time() - started
        model.zero_grad(set_to_none=True)
        peaks.append(memory.peak)
    return (peaks[1] - peaks[0]) / (CROPS - 1), seconds


if __name__ == "__main__":
    main()
