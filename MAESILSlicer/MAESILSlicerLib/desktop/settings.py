"""The computer's choices, which are kept for it and not with a scene: device, batch size."""

from __future__ import annotations

import qt

_DEVICE = "MAESIL/device"
_BATCH_SIZE = "MAESIL/batchSize"
AUTOMATIC = "auto"


def device() -> str:
    """The chosen device: auto, cpu, cuda:N or mps."""
    return str(qt.QSettings().value(_DEVICE, AUTOMATIC))


def setDevice(identifier: str) -> None:
    """Choose a device for this computer."""
    qt.QSettings().setValue(_DEVICE, identifier)


def batchSize() -> int | None:
    """The chosen number of superpatches a pass; None leaves it to the device."""
    text = str(qt.QSettings().value(_BATCH_SIZE, ""))
    return int(text) if text.isdecimal() and int(text) > 0 else None


def setBatchSize(count: int | None) -> None:
    """Choose a number of superpatches a pass for this computer; None leaves it to the device."""
    qt.QSettings().setValue(_BATCH_SIZE, str(count or ""))
