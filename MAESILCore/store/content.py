"""Content of scans: hashes that do not depend on the file format or the order of the axes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import geometry
from MAESILCore.store.layout import RESAMPLING

#: Largest distance in mm between corners of equal scans; NIfTI stores geometry in 32 bits, DICOM in decimal texts.
TOLERANCE_MM = 0.05

_BYTES = 16


def canonical(voxels: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A view of the voxels whose i, j, k axes run nearest to R, A, S, and its matrix.

    DICOM and NIfTI files of one scan differ in the direction and order of their axes.
    """
    axes = geometry.nearest_axes(ijk_to_ras)
    order = [axes.index(anatomical) for anatomical in range(3)]
    matrix = ijk_to_ras.copy()
    matrix[:3, :3] = ijk_to_ras[:3, order]
    # Voxels are (k, j, i): axis n of (i, j, k) is axis 2 - n of the array.
    view = voxels.transpose([2 - order[2 - axis] for axis in range(3)])
    for n in range(3):
        if matrix[n, n] < 0:
            view = np.flip(view, 2 - n)
            matrix[:3, 3] += matrix[:3, n] * (view.shape[2 - n] - 1)
            matrix[:3, n] *= -1
    return view, matrix


def hash_of_voxels(voxels: np.ndarray) -> str:
    """A hash of shape and values of (k, j, i) int16 voxels."""
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=_BYTES)
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane, dtype="<i2").data)
    return digest.hexdigest()


def identity_of(content: str, ijk_to_ras: np.ndarray, spacing: Iterable[float] | None) -> str:
    """The name of a scan in a store: a hash of its source, and of the spacing and the way of its resampling."""
    resampled = [] if spacing is None else [*spacing, RESAMPLING]
    settings = json.dumps([content, np.asarray(ijk_to_ras).tolist(), resampled])
    return hashlib.blake2b(settings.encode(), digest_size=_BYTES).hexdigest()


def hash_of_files(folder: Path, names: Iterable[str]) -> str:
    """A hash of small files.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.blake2b(digest_size=_BYTES)
    for name in names:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def hash_of_path(path: Path) -> str:
    """A hash of an absolute path, which recognises a source without telling its folders."""
    return hashlib.blake2b(bytes(path.absolute()), digest_size=_BYTES).hexdigest()


def is_same_place(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether two matrices place a (k, j, i) grid alike."""
    return geometry.largest_distance(first, second, shape[::-1]) <= TOLERANCE_MM
