"""The files of a job's folder, each of which is there whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

#: What is asked for; the mask is also part of what comes of it.
JOB, VOXELS, MASK = "job.json", "voxels.npy", "mask.npy"
#: What the client leaves to end the work, and what the worker says beside its events.
CANCEL, LOG = "cancel", "log.txt"
#: What comes of it; the last one is written last.
METRICS, SUPERPATCHES, RESULT = "metrics.json", "superpatches.json", "result.json"
EXPORT = "export"

_SURROGATE = re.compile("[\ud800-\udfff]")


class _PlainWriter:
    """Hides from numpy that this is a file, since its shortcut for files loses the reason of a failure."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, chunk: bytes) -> int:
        return self._file.write(chunk)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    _write_whole(path, lambda file: np.save(_PlainWriter(file), array, allow_pickle=False))


def read_array(path: Path) -> np.ndarray:
    """Read a .npy file, page by page when it is used.

    Raises:
        OSError: it is not there.
        ValueError: it is damaged.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except EOFError as error:
        raise ValueError("the file is empty") from error


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Write JSON in UTF-8.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    # The bytes of a path that are not UTF-8 have to come back as they were.
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    _write_whole(path, lambda file: file.write(text.encode("utf-8")))


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with open(unfinished, "wb") as file:
            write(file)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
