"""Reads what a finished job has left in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.errors import MaesilError


class ResultsError(MaesilError):
    """Results that cannot be shown."""


class JobFiles:
    """The files of a finished job.

    Args:
        folder: the job's.

    Attributes:
        result: what `result.json` holds.

    Raises:
        ResultsError: by this and every method: a file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.result: dict[str, Any] = self._json("result.json")

    def array(self, name: str) -> np.ndarray:
        """One of the .npy files, (k, j, i), read page by page when it is used."""
        try:
            return np.load(self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(f"{name}.npy") from error

    def has(self, file: str) -> bool:
        """Whether the job has left this file."""
        return (self._folder / file).is_file()

    def metrics(self) -> dict[str, Any]:
        """The scores of the whole volume."""
        return self._json("metrics.json")

    def superpatches(self) -> list[dict[str, Any]]:
        """The scores of each superpatch."""
        return self._json("superpatches.json")

    def _json(self, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> ResultsError:
        return ResultsError(
            f"The results of this reconstruction are incomplete ({name} is missing or damaged); reconstruct again."
        )
