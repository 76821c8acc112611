"""The run whose choices the section Pre-train has copied."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MAESILCore.wording import displayable
from MAESILSlicerLib.session.runwords import furtherOf, sentence


class CopiedRun:
    """What the inputs of the page do not show of a duplicated run: further settings, and scans of another folder.

    Args:
        data: the folders of the command line.
    """

    def __init__(self, data: Sequence[Path]) -> None:
        self._data, self._name = data, ""
        self._arguments: Mapping[str, Any] = {}

    def copy(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Take the choices of a run, as of `Board.duplicate`."""
        self._name, self._arguments = name, arguments

    def forget(self) -> None:
        """Go back to the default settings and the scans of the command line."""
        self._name, self._arguments = "", {}

    def further(self, method: str) -> dict[str, Any]:
        """The settings that the inputs do not show; none if another method was chosen since."""
        return furtherOf(self._arguments) if self._arguments.get("method") == method else {}

    def text(self, method: str) -> str:
        """A sentence that names the run if it has further settings, else ""."""
        return sentence("runs.copied", name=self._name) if self.further(method) else ""

    def places(self) -> list[Sequence[str | Path]]:
        """The scans to choose from: the folders of the command line, and those of the run if they are others."""
        places: list[Sequence[str | Path]] = [[path] for path in self._data]
        return [*places, self._arguments["scans"]] if self._hasScans() else places

    def titles(self) -> list[str]:
        """The names of the `places`, without their paths."""
        titles = [displayable(path.name or str(path)) for path in self._data]
        return [*titles, sentence("runs.its-scans", name=self._name)] if self._hasScans() else titles

    def place(self) -> int:
        """Which of the `places` the run was trained on."""
        place = self._placeInData()
        return len(self._data) if place is None else place

    def _hasScans(self) -> bool:
        return bool(self._arguments) and self._placeInData() is None

    def _placeInData(self) -> int | None:
        scans = self._arguments["scans"]
        paths = [os.path.realpath(path) for path in self._data]
        alone = os.path.realpath(scans[0]) if len(scans) == 1 else None
        return paths.index(alone) if alone in paths else None
