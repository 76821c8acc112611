"""What is kept for the computer and not with a scene: device, batch size, speeds, and what goes on after a restart."""

from __future__ import annotations

from pathlib import Path

import qt

from MAESILSlicerLib.system.storage import KeptSettings

_GROUP = "MAESIL/"
_DEVICE = _GROUP + "device"
_BATCH_SIZE = _GROUP + "batchSize"
_SPEEDS = _GROUP + "speeds"
_PENDING = _GROUP + "pendingInstallation"
AUTOMATIC = "auto"

#: What an installation that waits for a restart is to do.
INSTALL, REINSTALL = "install", "reinstall"


def device() -> str:
    """The chosen device: auto, cpu, cuda:N or mps."""
    return _text(_DEVICE) or AUTOMATIC


def setDevice(identifier: str) -> None:
    """Choose a device for this computer."""
    _keep(_DEVICE, "" if identifier == AUTOMATIC else identifier)


def batchSize() -> int | None:
    """The chosen number of superpatches a pass; None leaves it to the device."""
    text = _text(_BATCH_SIZE)
    return int(text) if text.isdecimal() and int(text) > 0 else None


def setBatchSize(count: int | None) -> None:
    """Choose a number of superpatches a pass for this computer; None leaves it to the device."""
    _keep(_BATCH_SIZE, str(count or ""))


def speeds() -> str:
    """The measured devices of this computer, as `setSpeeds` has kept them; "" if none were measured."""
    return _text(_SPEEDS)


def setSpeeds(text: str) -> None:
    """Keep the measured devices of this computer."""
    _keep(_SPEEDS, text)


def pendingInstallation() -> str:
    """`INSTALL` or `REINSTALL` if that is to go on after the restart of Slicer that it needed, else ""."""
    text = _text(_PENDING)
    return text if text in (INSTALL, REINSTALL) else ""


def setPendingInstallation(what: str) -> None:
    """Note what is to go on after the next start of Slicer; "" for nothing."""
    _keep(_PENDING, what)


def keptSettings() -> KeptSettings:
    """All of this, to be listed and deleted with what else MAESIL keeps."""
    return KeptSettings(Path(qt.QSettings().fileName()), _keys, _forget)


def _keys() -> list[str]:
    return [key for key in qt.QSettings().allKeys() if key.startswith(_GROUP)]


def _forget() -> None:
    for key in _keys():
        qt.QSettings().remove(key)


def _text(key: str) -> str:
    return str(qt.QSettings().value(key, ""))


def _keep(key: str, text: str) -> None:
    """Write a setting; an empty text removes it."""
    if text:
        qt.QSettings().setValue(key, text)
    else:
        qt.QSettings().remove(key)
