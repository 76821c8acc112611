"""Errors for users: one sentence with the problem and what to do."""

from __future__ import annotations

from typing import Any

from MAESILCore.wording import Sentence, displayable


class MaesilError(Exception):
    """Base of all errors that a user can cause; faces show the message unchanged.

    Translatable messages are a `MAESILCore.wording.Sentence`, which `str` returns.
    """

    @property
    def code(self) -> str:
        """Code of a translatable message, else ""."""
        return self.args[0].code if self.args and isinstance(self.args[0], Sentence) else ""

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of a translatable message, else empty."""
        return self.args[0].parameters if self.code else {}

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


class Cancelled(MaesilError):
    """The user cancelled the work; no partial output is left."""
