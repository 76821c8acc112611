"""Which NVIDIA driver a build of PyTorch needs."""

from __future__ import annotations

from MAESILSlicerLib.system.requirements import isOlder

#: The oldest driver for each generation of CUDA, from the release notes of NVIDIA's CUDA toolkits.
_OLDEST = {
    "Linux": {"11": "450.80", "12": "525.60", "13": "580.65"},
    "Windows": {"11": "452.39", "12": "528.33", "13": "580"},
}


def oldest(cuda: str, system: str) -> str | None:
    """The oldest NVIDIA driver for a version of CUDA, or None where that is not known."""
    return _OLDEST.get(system, {}).get(cuda.partition(".")[0])


def fits(driver: str | None, cuda: str, system: str) -> bool:
    """Whether a driver is new enough for a version of CUDA; true where nothing is known that says otherwise."""
    least = oldest(cuda, system)
    return driver is None or least is None or not isOlder(driver, least)
