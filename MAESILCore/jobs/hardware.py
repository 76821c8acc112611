"""Devices in words; needs PyTorch, so only a worker uses it."""

from __future__ import annotations

import os
import platform

import torch


def describe_device(device: torch.device) -> str:
    """A name that people know a device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "GPU of the Mac"
    return f"CPU ({torch.get_num_threads()} threads)"


def leave_a_core() -> None:
    """Keep one core free for the program in front of the user, unless threads were limited already."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))


def cpu_name() -> str:
    """The processor's name where the system tells it, else its kind."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
