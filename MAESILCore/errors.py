"""The errors that MAESIL raises on purpose: one sentence that says what is wrong and what to do."""

from __future__ import annotations

from MAESILCore.wording import displayable


class MaesilError(Exception):
    """Base of every error a user can cause; its message is fit to be shown as it is."""

    def __str__(self) -> str:
        # Messages name files, and the name of a file can be any bytes.
        return displayable(super().__str__())


class VolumeError(MaesilError):
    """A scan that cannot be read, written or used."""


class ConfigError(MaesilError):
    """An option, ratio or size that does not fit."""


class CheckpointError(MaesilError):
    """A checkpoint that is missing, damaged or of another kind."""


class MissingPackageError(MaesilError):
    """An optional package that is needed now and is not installed."""


class OutOfMemoryError(MaesilError):
    """Not enough memory even for one superpatch."""


class Cancelled(MaesilError):
    """The user stopped the work; nothing half-made is left."""
