"""`python -m Testing.Benchmarks.presets`: parameters, time and memory of a training step of each preset on this device.

Each preset is measured by `training.trial` in a process of its own: optimiser steps of the default recipe of its method
with one crop, weight average and AdamW included. Memory of a GPU is what PyTorch has reserved there, of a CPU the peak
of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from MAESILCore.devices import describe_device, pick_device, pick_precision
from MAESILCore.methods import METHODS, create, find
from MAESILCore.training import load_config
from MAESILCore.training.trial import estimate_training


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
    options = parser.parse_args()
    presets = [f"{method}/{preset}" for method in METHODS for preset in find(method).presets]
    if unknown := set(options.only or ()) - set(presets):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose of {', '.join(presets)}")
    chosen = options.only or presets
    if options.one:
        print(json.dumps(measure(chosen[0], options.device, options.crop)))
        return
    lines = [
        f"{describe_device(pick_device(options.device))}, PyTorch {torch.__version__}, one crop for each step.",
        "",
        "| preset | parameters | crop | precision | seconds per step | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    lines += [row(preset, options.device, options.crop) for preset in chosen]
    text = "\n".join(lines)
    print(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


def row(name: str, device: str, crop: int | None) -> str:
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
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"the process ended with status {done.returncode}"]
        return f"| {name} | | | | not measured: {said[-1][:120]} | |"
    found = json.loads(done.stdout.splitlines()[-1])
    return (
        f"| {name} | {found['parameters'] / 1e6:.1f} M | {' x '.join(map(str, found['crop']))} | {found['precision']} "
        f"| {found['seconds']:.3g} | {found['bytes'] / 2**30:.2f} GiB |"
    )


def measure(name: str, device: str, crop: int | None) -> dict[str, object]:
    """What a step of a preset takes, measured in this process."""
    method, preset = name.split("/")
    changes: dict[str, object] = {"method": method, "preset": preset, "batch_size": 1}
    if crop is not None:
        changes |= {"crop": {"size": [crop] * 3}, "model": {"superpatch_size": [crop] * 3}}
    config = load_config(None, changes)
    parameters = sum(weight.numel() for weight in create(method, config.model, preset).parameters())
    cost = estimate_training(config, device)
    return {
        "parameters": parameters,
        "crop": config.crop.size,
        "precision": pick_precision(pick_device(device)) if config.precision == "auto" else config.precision,
        "seconds": cost.seconds_per_step,
        "bytes": cost.bytes,
    }


if __name__ == "__main__":
    main()
