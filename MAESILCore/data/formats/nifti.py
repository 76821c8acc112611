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
from MAESILCore.data.formats.scan import Scan
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header


def read(path: Path) -> Scan:
    """Read one NIfTI file or pair.

    Raises:
        VolumeError: the file is damaged, or holds no real-valued 3D volume.
    """
    is_single = extension_of(path) in (".nii", ".nii.gz")
    header_path, data_path = (path, path) if is_single else pair(path)
    with readable(path):
        checked = nifti_header.read(path, header_path, is_single=is_single)
        header = checked.header
        dtype = np.dtype(header.get_data_dtype())
        checks.refuse_pixel_kind(path, dtype)
        size = tuple(int(length) for length in header.get_data_shape())
        shape, shape_notes = checks.squeeze_to_3d(path, size)
        offset, offset_notes = nifti_header.voxel_offset(path, checked, is_single=is_single)
        slope, intercept, slope_notes = _slope_and_intercept(header)
        ijk_to_ras, geometry_notes = nifti_geometry.ijk_to_ras_of(path, header, checked.qfac, shape)
        is_gzip = extension_of(data_path).endswith(".gz")
        data = voxeldata.VoxelData([data_path], "deflate" if is_gzip else "raw", skip_bytes=offset)
        stored, extra = voxeldata.read_voxels(path, data, dtype, size)
        nifti_header.refuse_extensions_as_voxels(path, checked, offset, extra)
    voxels = voxeltypes.rescale(stored.reshape(shape[::-1]), slope, intercept)
    extra_notes = voxeldata.extra_bytes_notes(extra)
    return Scan(
        voxels,
        ijk_to_ras,
        (*shape_notes, *geometry_notes, *checked.notes, *offset_notes, *slope_notes, *extra_notes),
    )


def write(scan: Scan, path: Path) -> None:
    """Write NIfTI-1 with the geometry in the sform, and in the qform too unless it is sheared.

    NIfTI stores the matrix in 32-bit floats: positions are accurate to 1e-4 mm.
    """
    import nibabel

    voxels = voxeltypes.storable(scan.voxels)
    image = nibabel.Nifti1Image(voxels.T, scan.ijk_to_ras, dtype=voxels.dtype)
    image.set_sform(scan.ijk_to_ras, code="scanner")
    if geometry.is_sheared(scan.ijk_to_ras):
        image.set_qform(None, code="unknown")
    else:
        image.set_qform(scan.ijk_to_ras, code="scanner")
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Convert nibabel's exceptions on damaged files to a `VolumeError`."""
    try:
        # Numbers of damaged headers may overflow; their results are checked later.
        with np.errstate(all="ignore"):
            yield
    except FileNotFoundError as error:
        message = f"{path.name} is one half of a .hdr/.img pair, and the other half is not beside it."
        raise VolumeError(message) from error
    except (VolumeError, MemoryError, ImportError):
        raise
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise checks.damaged(path, "its voxels end too early or do not decode") from error
    except Exception as error:
        # nibabel checks fields lazily; damaged ones raise about ten exception types.
        reason = f" ({error})" if type(error).__name__ == "HeaderDataError" else ""
        message = (
            f"{path.name} has no readable NIfTI, MGH or Analyze header{reason}: copy or export it again."
        )
        raise VolumeError(message) from error


def is_nifti(path: Path) -> bool:
    """Whether a .nii or .hdr file has the mark of NIfTI-1 or NIfTI-2.

    Raises:
        VolumeError: the file is damaged.
    """
    with readable(path), voxeldata.decompressed(path) as stream:
        return nifti_header.has_mark(stream.read(nifti_header.LONGEST))


def pair(path: Path) -> tuple[Path, Path]:
    """The header and the data file of a pair, from the name of either, compressed or not."""
    extension = extension_of(path)
    stem, is_header = path.name[: -len(extension)], extension.startswith(".hdr")
    endings = (".img", ".img.gz", ".IMG") if is_header else (".hdr", ".hdr.gz", ".HDR")
    if extension.endswith(".gz"):
        endings = (endings[1], endings[0], endings[2])
    other = next(
        (path.with_name(stem + ending) for ending in endings if path.with_name(stem + ending).is_file()), None
    )
    if other is None:
        raise VolumeError(
            f"{path.name} is one half of a .hdr/.img pair, and the other half is not beside it."
        )
    return (path, other) if is_header else (other, path)


def _slope_and_intercept(header: Nifti1Header) -> tuple[float, float, tuple[str, ...]]:
    slope, intercept = header.get_slope_inter()
    if slope is not None:
        return float(slope), float(intercept), ()
    # Slope 0, or NaN in nibabel, means no rescaling.
    is_usual = not np.isinf(header["scl_slope"])
    return 1.0, 0.0, () if is_usual else ("The header's slope is infinite and was not applied.",)
