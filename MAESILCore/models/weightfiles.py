"""Opening of safetensors files with any file name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from MAESILCore.models.header import readable
from MAESILCore.models.sealed import check_seal


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file with `safetensors.safe_open`, after its checksum was verified if it has one.

    Raises:
        CheckpointError: see `readable`; or the checksum is wrong.
    """
    with readable(path, SafetensorError):
        check_seal(path)
        with _named(path) as name, safe_open(name, framework="pt") as handle:
            yield handle


@contextmanager
def _named(path: Path) -> Iterator[str]:
    """A UTF-8 name for the file, as safetensors accepts no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        number = os.open(path, os.O_RDONLY)
        try:
            yield f"/dev/fd/{number}"
        finally:
            os.close(number)
    else:
        yield str(path)
