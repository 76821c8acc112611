"""NIfTI and MGH files that tests write without our own code."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

AFFINE = np.array([[-0.7, 0.0, 0.0, 91.5], [0.0, -0.8, 0.0, 70.25], [0.0, 0.0, 2.5, -1200.0], [0, 0, 0, 1.0]])


def write_nifti(path: Path, hu: np.ndarray) -> None:
    """A file, or a pair of files, of the format that its name asks for; voxels are (k, j, i)."""
    kind = nibabel.MGHImage if path.suffix in (".mgz", ".mgh") else nibabel.Nifti1Image
    kind = nibabel.Nifti1Pair if ".img" in path.name or ".hdr" in path.name else kind
    nibabel.save(kind(np.ascontiguousarray(hu.T), AFFINE), path)
