"""NIfTI-1 and NIfTI-2 (.nii, .nii.gz, .hdr/.img), with headers through nibabel; shear is kept."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.formats import checks, geometry, nifti_geometry, nifti_header, voxeldata, voxeltypes
from MAESILCore.data.formats.names import extension_of
from MAESILCore.data.formats.scan import Scan, Unreadable, damaged
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_LONELY_HALF = "is one half of a .hdr/.img pair, and the other half is not beside it."


@contextmanager
def readable() -> Iterator[None]:
    """Convert nibabel's exceptions on damaged files to an `Unreadable`."""
    try:
        # Numbers of damaged headers may overflow; their results are checked later.
        with np.errstate(all="ignore"):
            yield
    except FileNotFoundError as error:
        raise Unreadable(_LONELY_HALF) from error
    except (VolumeError, MemoryError, ImportError):
        raise
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged("its voxels end too early or do not decode") from error
    except Exception as error:
        # nibabel checks fields lazily; damaged ones raise about ten exception types.
        reason = f" ({error})" if type(error).__name__ == "HeaderDataError" else ""
        raise Unreadable(
            f"has no readable NIfTI, MGH or Analyze header{reason}: copy or export it again."
        ) from error


@readable()
def read(path: Path) -> Scan:
    """Read one NIfTI file or pair.

    Raises:
        Unreadable: the file is damaged, or holds no real-valued 3D volume.
    """
    is_single = extension_of(path) in (".nii", ".nii.gz")
    header_path, data_path = (path, path) if is_single else pair(path)
    checked = nifti_header.read(header_path, is_single=is_single)
    header = checked.header
    dtype, size = np.dtype(header.get_data_dtype()), header.get_data_shape()
    checks.refuse_pixel_kind(dtype)
    shape, shape_notes = checks.squeeze_to_3d(size)
    offset, offset_notes = nifti_header.voxel_offset(checked, is_single=is_single)
    slope, intercept, slope_notes = _slope_and_intercept(header)
    ijk_to_ras, geometry_notes = nifti_geometry.ijk_to_ras_of(header, checked.qfac, shape)
    stored, extra = voxeldata.read_voxels(voxeldata.VoxelData.behind(data_path, offset), dtype, size)
    nifti_header.refuse_extensions_as_voxels(checked, offset, extra)
    voxels = voxeltypes.rescale(stored.reshape(shape[::-1]), slope, intercept)
    notes = (*shape_notes, *geometry_notes, *checked.notes, *offset_notes, *slope_notes)
    return Scan(voxels, ijk_to_ras, (*notes, *voxeldata.extra_bytes_notes(extra)))


def write(scan: Scan, path: Path) -> None:
    """Write NIfTI-1 with the geometry in the sform, and in the qform too unless it is sheared.

    NIfTI stores the matrix in 32-bit floats: positions are accurate to 1e-4 mm.
    """
    _write(voxeltypes.storable(scan.voxels).T, scan.ijk_to_ras, path)


def write_vectors(vectors: np.ndarray, ijk_to_ras: np.ndarray, path: Path) -> None:
    """Write one vector per voxel as NIfTI-1 of five axes (i, j, k, 1, C) with the intent "vector"; see `write`.

    Args:
        vectors: (C, k, j, i), real numbers.
        ijk_to_ras: (4, 4).
        path: a .nii or .nii.gz file.

    Raises:
        OSError: the file cannot be written.
        VolumeError: an axis is too long for NIfTI-1.
    """
    if max(vectors.shape) > np.iinfo(np.int16).max:
        raise VolumeError(f"NIfTI cannot hold {vectors.shape} values (C, k, j, i): choose another format.")
    _write(vectors[:, None].T, ijk_to_ras, path, intent="vector")


def _write(array: np.ndarray, ijk_to_ras: np.ndarray, path: Path, intent: str = "none") -> None:
    import nibabel

    image = nibabel.Nifti1Image(array, ijk_to_ras, dtype=array.dtype)
    image.set_sform(ijk_to_ras, code="scanner")
    if geometry.is_sheared(ijk_to_ras):
        image.set_qform(None, code="unknown")
    else:
        image.set_qform(ijk_to_ras, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header.set_intent(intent)
    nibabel.save(image, path)


@readable()
def is_nifti(path: Path) -> bool:
    """Whether a .nii or .hdr file has the mark of NIfTI-1 or NIfTI-2.

    Raises:
        Unreadable: the file is damaged.
    """
    with voxeldata.decompressed(path) as stream:
        return bool(nifti_header.mark_of(stream.read(nifti_header.LONGEST)))


def pair(path: Path) -> tuple[Path, Path]:
    """The header and the data file of a pair, from the name of either, compressed or not.

    Raises:
        Unreadable: the other half is missing.
    """
    extension = extension_of(path)
    stem, is_header = path.name[: -len(extension)], extension.startswith(".hdr")
    endings = (".img", ".img.gz", ".IMG") if is_header else (".hdr", ".hdr.gz", ".HDR")
    # Of two candidates, the one that is compressed like the given half comes first.
    endings = (endings[1], endings[0], endings[2]) if extension.endswith(".gz") else endings
    for other in (path.with_name(stem + ending) for ending in endings):
        if other.is_file():
            return (path, other) if is_header else (other, path)
    raise Unreadable(_LONELY_HALF)


def _slope_and_intercept(header: Nifti1Header) -> tuple[float, float, tuple[str, ...]]:
    slope, intercept = header.get_slope_inter()
    if slope is not None:
        return float(slope), float(intercept), ()
    # Slope 0, or NaN in nibabel, means no rescaling.
    is_usual = not np.isinf(header["scl_slope"])
    return 1.0, 0.0, () if is_usual else ("The header's slope is infinite and was not applied.",)
