"""Errors for users: one sentence with the problem and what to do."""

from __future__ import annotations

from MAESILCore.wording import displayable


class MaesilError(Exception):
    """Base of all errors that a user can cause; faces show the message unchanged.

    Translatable messages are a `MAESILCore.wording.Sentence`, which `str` returns.
    """

    def __str__(self) -> str:
        # File names in messages can contain any bytes.
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
    """Too little memory even for one superpatch."""


class PeerError(MaesilError):
    """Another process of the same training has failed or ended."""


class Cancelled(MaesilError):
    """The user cancelled the work; no partial output is left."""


class Preempted(Cancelled):
    """A scheduler asked the work to end; it can go on later from a checkpoint."""


def error_of_stop(stop: int) -> type[Cancelled]:
    """The error of a training that was stopped: by a person (1) or by a scheduler (2)."""
    return Preempted if stop == 2 else Cancelled
