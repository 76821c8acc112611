"""What can be asked of a reconstruction, whatever the model and the computer: told before PyTorch is loaded."""

from __future__ import annotations

import re
from numbers import Integral
from typing import TypeGuard

from MAESILCore.errors import ConfigError

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")


def check_coverage(coverage: object) -> int:
    """A coverage as a plain number of masks; 0 for a single one.

    Raises:
        ConfigError: it is no whole number, or below 0.
    """
    if not _is_count(coverage, 0):
        message = f"The coverage must be 0 (a single mask) or a number of masks, but it is {coverage!r}."
        raise ConfigError(message)
    return int(coverage)


def check_batch_size(batch_size: object | None) -> int | None:
    """A number of superpatches a pass as a plain one; None leaves it to the device.

    Raises:
        ConfigError: it is no whole number, or below 1.
    """
    if batch_size is None:
        return None
    if not _is_count(batch_size, 1):
        message = f"The batch size must be a whole number of at least 1, but it is {batch_size!r}."
        raise ConfigError(message)
    return int(batch_size)


def check_device(name: object) -> str:
    """A device's name, whether or not this computer has such a device.

    Raises:
        ConfigError: it is none of auto, cpu, cuda, cuda:N and mps.
    """
    if not isinstance(name, str) or not _DEVICE.fullmatch(name):
        message = f"There is no device {name!r}; use auto, cpu, cuda, cuda:N or mps."
        raise ConfigError(message)
    return name


def _is_count(value: object, least: int) -> TypeGuard[Integral]:
    # To Python, True is 1; to whoever writes it, it is a switch.
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least
