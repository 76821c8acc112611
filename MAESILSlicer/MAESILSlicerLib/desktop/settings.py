"""Settings of the computer, not of a scene: device, batch size, folder of runs, speeds, a pending installation."""

from __future__ import annotations

from pathlib import Path

import qt

from MAESILCore.jobs.runs import runs_folder

_GROUP = "MAESIL/"
_DEVICE = _GROUP + "device"
_BATCH_SIZE = _GROUP + "batchSize"
_SPEEDS = _GROUP + "speeds"
_RUNS_FOLDER = _GROUP + "runsFolder"
_PENDING = _GROUP + "pendingInstallation"
AUTOMATIC = "auto"

#: Values of a pending installation.
INSTALL, REINSTALL = "install", "reinstall"


def device() -> str:
    """The chosen device: auto, cpu, cuda:N or mps."""
    return _text(_DEVICE) or AUTOMATIC


def setDevice(identifier: str) -> None:
    """Store the device."""
    _keep(_DEVICE, "" if identifier == AUTOMATIC else identifier)


def batchSize() -> int | None:
    """The superpatches per forward pass; None chooses by the device."""
    text = _text(_BATCH_SIZE)
    return int(text) if text.isdecimal() and int(text) > 0 else None


def setBatchSize(count: int | None) -> None:
    """Store the superpatches per forward pass; None chooses by the device."""
    _keep(_BATCH_SIZE, str(count or ""))


def runsFolder() -> Path:
    """The folder that keeps all runs: the chosen one, else `runs_folder()`; it may not exist yet."""
    return Path(_text(_RUNS_FOLDER) or runs_folder())


def setRunsFolder(folder: Path) -> None:
    """Store the folder that keeps all runs."""
    _keep(_RUNS_FOLDER, str(folder))


def speeds() -> str:
    """The measured devices, as stored by `setSpeeds`; "" if none were measured."""
    return _text(_SPEEDS)


def setSpeeds(text: str) -> None:
    """Store the measured devices."""
    _keep(_SPEEDS, text)


def pendingInstallation() -> str:
    """`INSTALL` or `REINSTALL` if an installation must resume after a restart of Slicer; else ""."""
    text = _text(_PENDING)
    return text if text in (INSTALL, REINSTALL) else ""


def setPendingInstallation(what: str) -> None:
    """Store which installation must resume after the next start of Slicer; "" for none."""
    _keep(_PENDING, what)


def file() -> Path:
    """Slicer's settings file, which holds these settings."""
    return Path(qt.QSettings().fileName())


def areStored() -> bool:
    """Whether any of these settings is stored."""
    return bool(_keys())


def forget() -> None:
    """Remove all these settings."""
    for key in _keys():
        qt.QSettings().remove(key)


def _keys() -> list[str]:
    return [key for key in qt.QSettings().allKeys() if key.startswith(_GROUP)]


def _text(key: str) -> str:
    return str(qt.QSettings().value(key, ""))


def _keep(key: str, text: str) -> None:
    """Store a setting; an empty text removes it."""
    if text:
        qt.QSettings().setValue(key, text)
    else:
        qt.QSettings().remove(key)
