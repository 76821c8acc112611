"""The errors that MAESIL raises on purpose: one sentence that says what is wrong and what to do."""

from __future__ import annotations

from typing import Any

from MAESILCore.wording import Sentence, displayable


class MaesilError(Exception):
    """Base of every error a user can cause; its message is fit to be shown as it is.

    A message that a face may word in another language is a `MAESILCore.wording.Sentence`, and `str` gives just that.
    """

    @property
    def code(self) -> str:
        """Names the sentence for faces that word it themselves; "" if they cannot."""
        return self.args[0].code if self.args and isinstance(self.args[0], Sentence) else ""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the sentence was filled with; empty if it has no code."""
        return self.args[0].parameters if self.code else {}

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
