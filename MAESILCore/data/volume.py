"""The volume: voxels and geometry, with lossless reading and writing of the geometry."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.formats import geometry, names, voxeltypes
from MAESILCore.data.formats.scan import Scan, named
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from MAESILCore.data.formats.dicom.series import SeriesInfo

#: Maximum matrix entry in mm; larger ones are damage, and their squares would overflow.
_LARGEST_LENGTH = 1e12

_SURELY_LABELS = 16
_MOST_LABELS = 256


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image with its geometry.

    Attributes:
        voxels: (k, j, i), real numbers; HU for CT.
        ijk_to_ras: (4, 4) float64, maps (i, j, k, 1) of a voxel centre to RAS in mm.
        name: file or folder stem.
        notes: sentences for the user about this scan (8 bit, MR, sheared, not HU, ...).

    >>> import numpy as np
    >>> Volume(np.zeros((40, 60, 80), np.int16), np.diag([0.7, 0.7, 2.5, 1.0])).spacing
    (0.7, 0.7, 2.5)
    """

    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or 0 in self.voxels.shape:
            raise VolumeError(f"A volume needs three axes, none empty, but the shape is {self.voxels.shape}.")
        if self.voxels.dtype.kind not in "biuf":
            raise VolumeError(f"A volume needs real numbers, but the array holds {self.voxels.dtype}.")
        object.__setattr__(self, "ijk_to_ras", _checked_geometry(self.ijk_to_ras))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along k, j, i."""
        return self.voxels.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel edges along i, j, k in mm."""
        i, j, k = geometry.spacing_of(self.ijk_to_ras).tolist()
        return i, j, k

    @property
    def origin(self) -> tuple[float, float, float]:
        """RAS position in mm of the centre of voxel (0, 0, 0)."""
        r, a, s = self.ijk_to_ras[:3, 3].tolist()
        return r, a, s

    @property
    def directions(self) -> np.ndarray:
        """(3, 3), unit vectors of the i, j, k axes in RAS as columns."""
        return geometry.directions_of(self.ijk_to_ras)

    @property
    def orientation(self) -> str:
        """Letters of the anatomical directions nearest to +i, +j, +k, such as "LPS"."""
        axes = enumerate(geometry.nearest_axes(self.ijk_to_ras))
        return "".join(("LR", "PA", "IS")[axis][int(self.directions[axis, n] > 0)] for n, axis in axes)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not perpendicular, as with a gantry tilt."""
        return geometry.is_sheared(self.ijk_to_ras)

    @property
    def is_oblique(self) -> bool:
        """Whether an axis deviates from the patient's axes by more than rounding."""
        smaller = np.sort(np.abs(self.directions), axis=0)[:2]
        return bool((smaller > geometry.PERPENDICULAR_COSINE).any())

    @cached_property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest voxel value."""
        return float(self.voxels.min()), float(self.voxels.max())

    @property
    def looks_like_hu(self) -> bool:
        """Whether the values can be Hounsfield units: from well below fat (-200 HU) to water or above."""
        low, high = self.value_range
        return low <= -200.0 and 0.0 <= high <= np.iinfo(np.int16).max

    def with_voxels(self, voxels: np.ndarray, name: str | None = None) -> Volume:
        """The same geometry with other voxels.

        Args:
            voxels: (k, j, i), of this volume's shape.
            name: name of the new volume; the default is this volume's name.

        Raises:
            VolumeError: the shape differs.
        """
        if voxels.shape != self.shape:
            raise VolumeError(f"The voxels have the shape {voxels.shape}, and the volume {self.shape}.")
        return replace(self, voxels=voxels, name=self.name if name is None else name)


def _checked_geometry(ijk_to_ras: np.ndarray) -> np.ndarray:
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise VolumeError(f"The geometry must be a 4 x 4 matrix, but has the shape {matrix.shape}.")
    is_finite = np.isfinite(matrix).all() and np.abs(matrix).max() < _LARGEST_LENGTH
    if not is_finite or not np.array_equal(matrix[3], (0.0, 0.0, 0.0, 1.0)):
        raise VolumeError(
            "The geometry must be a matrix of finite numbers with the last row 0 0 0 1: export the scan again."
        )
    if not geometry.is_invertible(matrix):
        raise VolumeError("The geometry is degenerate: an axis has no length, or two axes are parallel.")
    matrix.setflags(write=False)
    return matrix


def read_volume(
    path: str | PathLike[str], *, series: str | None = None, within: str | PathLike[str] | None = None
) -> Volume:
    """Read a scan: a NIfTI, NRRD, MetaImage or MGH file, or a folder of DICOM slices.

    Slope and intercept are applied. Nothing is resampled; a sheared or oblique geometry is kept.

    Args:
        path: the file or folder.
        series: number or UID of the DICOM series if a folder has several; see `list_series`.
        within: the folder that must contain all data files of a header; headers of uploaded files could name any file
            of this machine. None allows all folders.

    Raises:
        VolumeError: the file is damaged, or is not one real-valued 3D volume with a usable geometry.
    """
    from MAESILCore.data.formats import files

    # Only the absolute form of "." has a name.
    path = Path(os.path.abspath(path))
    scan = files.read(path, series, None if within is None else Path(within))
    try:
        voxels, fill_note = voxeltypes.fill_not_finite(scan.voxels)
        volume = Volume(voxels, scan.ijk_to_ras, names.stem_of(path))
    except VolumeError as error:
        raise VolumeError(f"{path.name}: {error}") from error
    return replace(volume, notes=scan.notes + ((fill_note,) if fill_note else ()) + _content_notes(volume))


def list_series(folder: str | PathLike[str]) -> list[SeriesInfo]:
    """The DICOM image series of a folder, sorted by number, for `read_volume`.

    Raises:
        VolumeError: there is no DICOM image, or one is damaged.
    """
    from MAESILCore.data.formats.dicom.series import find_series

    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise VolumeError(f"{folder} is not a folder; DICOM series are listed of a folder.")
    with named(folder):
        return [series.info for series in find_series(folder)[0]]


def find_scans(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """Scans at and below the given paths: files by their extension, and folders that hold DICOM images.

    A two-file scan counts once, by its header. A DICOM folder is one path, even if its images are in a
    single subfolder. Label maps are found like images: see `looks_like_label`.

    Returns:
        Sorted paths, each scan once.

    Raises:
        VolumeError: a path does not exist, or there is no scan at all.
    """
    from MAESILCore.data.formats.discovery import discover_scans

    return [scan.path for scan in discover_scans(paths).scans]


def write_volume(volume: Volume, path: str | PathLike[str]) -> None:
    """Write a volume as .nii, .nii.gz, .nrrd, .mha or .mhd, atomically.

    The geometry is exact, except in NIfTI (32-bit floats), where it is accurate to 1e-4 mm.

    Raises:
        VolumeError: the format cannot hold the volume, or the folder cannot be written to.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_volume(Volume(np.full((2, 3, 4), -1000, np.int16), np.eye(4)), f"{folder}/air.nrrd")
    ...     read_volume(f"{folder}/air.nrrd").shape, [scan.name for scan in find_scans(folder)]
    ((2, 3, 4), ['air.nrrd'])
    """
    from MAESILCore.data.formats import files

    files.write(Scan(volume.voxels, volume.ijk_to_ras), Path(path))


def looks_like_label(volume: Volume) -> bool:
    """Whether this is a label map rather than an image: few distinct whole numbers, none negative.

    Up to 16 distinct values are a label map. Up to 256 are one if most foreground neighbours are equal, which
    distinguishes a segmentation of a hundred organs from an 8-bit image.
    """
    low, high = volume.value_range
    if low < 0 or high > np.iinfo(np.uint16).max:
        return False
    count = voxeltypes.count_whole_numbers(volume.voxels, most=_MOST_LABELS)
    if count is None:
        return False
    return count <= _SURELY_LABELS or voxeltypes.share_of_equal_neighbours(volume.voxels) > 0.5


def describe(volume: Volume, superpatch_size: int = 128, patch_size: int = 8) -> dict[str, Any]:
    """Properties of a volume and its superpatch grid, ready for JSON.

    The last letters of a key give the axis order of its list.
    """
    from MAESILCore.lattice import SuperpatchGrid

    grid = SuperpatchGrid(volume.shape, superpatch_size, patch_size)
    return {
        "name": volume.name,
        "shape_kji": list(volume.shape),
        "spacing_mm_ijk": list(volume.spacing),
        "origin_mm_ras": list(volume.origin),
        "ijk_to_ras": volume.ijk_to_ras.tolist(),
        "orientation": volume.orientation,
        "is_oblique": volume.is_oblique,
        "is_sheared": volume.is_sheared,
        "data_type": volume.voxels.dtype.name,
        "value_range": list(volume.value_range),
        "looks_like_hu": volume.looks_like_hu,
        "looks_like_label": looks_like_label(volume),
        "superpatch_size_kji": list(grid.superpatch_size),
        "patch_size_kji": list(grid.patch_size),
        "superpatches_kji": list(grid.counts),
        "superpatches": len(grid),
        "patch_lattice_kji": list(grid.lattice_shape),
        "notes": list(volume.notes),
    }


def _content_notes(volume: Volume) -> tuple[str, ...]:
    """Notes on voxels and matrix, for all file formats."""
    notes = []
    if volume.is_sheared:
        degrees = geometry.shear_degrees(volume.ijk_to_ras)
        notes.append(f"The axes are sheared, {degrees:.1f} degrees from perpendicular; this is kept exactly.")
    low, high = volume.value_range
    if looks_like_label(volume):
        notes.append("The values look like those of a label map, not HU.")
    elif not volume.looks_like_hu:
        bits = "8-bit values" if volume.voxels.dtype.itemsize == 1 else "values"
        notes.append(f"The {bits} from {low:g} to {high:g} are not HU.")
    return tuple(notes)
