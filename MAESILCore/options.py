"""Checks of reconstruction options that need neither model nor PyTorch."""

from __future__ import annotations

import re
from numbers import Integral
from typing import TypeGuard

from MAESILCore.errors import ConfigError

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")


def check_coverage(coverage: object) -> int:
    """Check a coverage and return the number of masks as an int; 0 is a single mask.

    Raises:
        ConfigError: the value is no whole number of at least 0.
    """
    if not _is_count(coverage, 0):
        raise ConfigError(
            f"The coverage must be 0 (a single mask) or a number of masks, but it is {coverage!r}."
        )
    return int(coverage)


def check_batch_size(batch_size: object | None) -> int | None:
    """Check a batch size (superpatches per pass) and return an int; None is the default of the device.

    Raises:
        ConfigError: the value is no whole number of at least 1.
    """
    if batch_size is None:
        return None
    if not _is_count(batch_size, 1):
        raise ConfigError(f"The batch size must be a whole number of at least 1, but it is {batch_size!r}.")
    return int(batch_size)


def check_device(name: object) -> str:
    """Check and return the name of a device, which this computer may lack.

    Raises:
        ConfigError: the name is none of auto, cpu, cuda, cuda:N and mps.
    """
    if not isinstance(name, str) or not _DEVICE.fullmatch(name):
        raise ConfigError(f"There is no device {name!r}; use auto, cpu, cuda, cuda:N or mps.")
    return name


def _is_count(value: object, least: int) -> TypeGuard[Integral]:
    # Python treats True as 1, but users mean a switch.
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least
