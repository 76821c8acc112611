"""Devices in words and numbers; needs PyTorch, so only child processes use it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

import torch


def describe_device(device: torch.device) -> str:
    """A name that people know a device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "GPU of the Mac"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"


def memory_of(device: torch.device) -> tuple[int, int | None]:
    """Bytes in all and free; the latter None where the system does not tell."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total, free
    return _main_memory()


def processor_name() -> str:
    """The processor's name where the system tells it, else its kind."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _main_memory() -> tuple[int, int | None]:
    if sys.platform == "win32":
        return _main_memory_of_windows()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            kibibytes = dict(line.split()[:2] for line in lines)
        return total, int(kibibytes["MemAvailable:"]) * 1024
    except (OSError, KeyError, ValueError):
        return total, None


def _main_memory_of_windows() -> tuple[int, int | None]:
    """See MEMORYSTATUSEX in Microsoft's reference: two 32-bit numbers, then seven of 64 bits."""
    status = (ctypes.c_uint64 * 8)()
    status[0] = ctypes.sizeof(status)
    getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # noqa: B009 - unknown elsewhere
    return int(status[1]), int(status[2])
