"""What the tests of formats share: voxels, and a NIfTI file written without our own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from niftiscans import AFFINE


@pytest.fixture
def hu() -> np.ndarray:
    """(k, j, i), int16."""
    return np.random.default_rng(1).integers(-1024, 3071, (6, 7, 9)).astype(np.int16)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes an (i, j, k) array with nibabel alone, the header changed by a function."""

    def save(
        array: np.ndarray,
        change: Callable[[nibabel.Nifti1Image], None] = lambda image: None,
        name: str = "scan.nii.gz",
        affine: np.ndarray | None = AFFINE,
    ) -> Path:
        image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
        change(image)
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return save
