"""What several tests of the library share: a DICOM series of their own making."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from dicomslices import COLUMNS, ROWS, write_slice


@pytest.fixture
def stored() -> np.ndarray:
    """(k, j, i), as a scanner stores them, unsigned with an offset of 1024."""
    return np.random.default_rng(3).integers(0, 4000, (6, ROWS, COLUMNS))


@pytest.fixture
def write_series(stored: np.ndarray, tmp_path: Path) -> Callable[..., Path]:
    """Writes the stored slices along a step, file names in the opposite order."""

    def write_series(
        step: tuple[float, float, float] = (0.0, 0.0, 2.5),
        skip: tuple[int, ...] = (),
        folder: str = "",
        prefix: str = "",
        change: Callable[[int], dict[str, Any]] = lambda n: {},
        **tags: Any,  # noqa: ANN401
    ) -> Path:
        for n, pixels in enumerate(stored):
            if n not in skip:
                position = np.array([-10.0, -20.0, 30.0]) + n * np.array(step)
                path = tmp_path / "scan" / folder / f"{prefix}{len(stored) - n}.dcm"
                write_slice(path, pixels, position, **{**tags, **change(n)})
        return tmp_path / "scan"

    return write_series
