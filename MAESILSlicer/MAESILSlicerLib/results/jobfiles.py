"""Reads the files of a finished job."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.results.wording import sentence


class ResultsError(MaesilError):
    """Results cannot be shown."""


class JobFiles:
    """The files of a finished job.

    Args:
        folder: the job's folder.

    Raises:
        ResultsError: a file is missing or damaged; raised by every attribute and method.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def kind(self) -> str:
        """The kind of the job."""
        # Not by MAESILCore.jobfolder, which needs packages that Slicer may lack when a scene is opened.
        return str(self.json("job.json").get("kind", ""))

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`."""
        found: dict[str, Any] = self.json("result.json")
        return found

    def array(self, name: str) -> np.ndarray:
        """A memory-mapped .npy file, (k, j, i) or (C, k, j, i)."""
        try:
            return np.load(self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(f"{name}.npy") from error

    def has(self, file: str) -> bool:
        """Whether the job has written this file."""
        return (self._folder / file).is_file()

    def json(self, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The content of a .json file."""
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> ResultsError:
        return ResultsError(sentence("results.damaged", file=name))
