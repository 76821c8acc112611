"""The NVIDIA driver that a build of PyTorch needs."""

from __future__ import annotations

from MAESILSlicerLib.system.requirements import isOlder

#: The oldest driver for each CUDA generation. Source: release notes of the NVIDIA CUDA toolkit.
_OLDEST = {
    "Linux": {"11": "450.80", "12": "525.60", "13": "580.65"},
    "Windows": {"11": "452.39", "12": "528.33", "13": "580"},
}


def oldest(cuda: str, system: str) -> str | None:
    """The oldest NVIDIA driver for a CUDA version; None if unknown."""
    return _OLDEST.get(system, {}).get(cuda.partition(".")[0])


def fits(driver: str | None, cuda: str, system: str) -> bool:
    """Whether a driver is new enough for a CUDA version; True if unknown."""
    least = oldest(cuda, system)
    return driver is None or least is None or not isOlder(driver, least)
