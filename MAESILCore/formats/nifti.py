"""NIfTI (.nii, .nii.gz, .hdr/.img) and FreeSurfer MGH (.mgh, .mgz) through nibabel, shear included."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, geometry, numbers
from MAESILCore.formats.scan import Scan

_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


def read(path: Path) -> Scan:
    """Read one NIfTI or MGH file.

    Raises:
        VolumeError: If the file is damaged, or holds no real-valued 3D volume.
    """
    image = _open(path)
    dtype = np.dtype(image.get_data_dtype())
    checks.refuse_pixel_kind(path, dtype)
    shape, notes = checks.squeeze_to_3d(path, image.shape)
    stored, slope, intercept = _stored_voxels(path, image, dtype)
    voxels = numbers.rescale(stored.reshape(shape, order="F").T, slope, intercept)
    ijk_to_ras, unit_notes = _geometry_in_mm(image)
    return Scan(voxels, ijk_to_ras, notes + unit_notes + _orientation_notes(image))


def write(scan: Scan, path: Path) -> None:
    """Write NIfTI-1 with the geometry in the sform, and in the qform too unless it is sheared.

    NIfTI stores the matrix in 32-bit floats: positions come back within 1e-4 mm.
    """
    import nibabel

    voxels = numbers.storable(scan.voxels)
    image = nibabel.Nifti1Image(voxels.T, scan.ijk_to_ras, dtype=voxels.dtype)
    image.set_sform(scan.ijk_to_ras, code="scanner")
    if geometry.is_sheared(scan.ijk_to_ras):
        image.set_qform(None, code="unknown")
    else:
        image.set_qform(scan.ijk_to_ras, code="scanner")
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _open(path: Path) -> Any:  # noqa: ANN401 - nibabel's image classes share no public base with a typed header
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        return nibabel.load(path, mmap=False)
    except FileNotFoundError as error:
        message = f"{path.name} is one half of a .hdr/.img pair, and the other half is not beside it."
        raise VolumeError(message) from error
    except (EOFError, zlib.error, OSError) as error:
        raise checks.damaged(path, error) from error
    except (ImageFileError, HeaderDataError, WrapStructError, ValueError) as error:
        message = f"{path.name} is not a readable NIfTI or MGH file: check that it was exported completely."
        raise VolumeError(message) from error


def _stored_voxels(path: Path, image: Any, dtype: np.dtype) -> tuple[np.ndarray, float, float]:  # noqa: ANN401
    data_file = Path(image.file_map["image"].filename)
    is_compressed = data_file.suffix in (".gz", ".mgz")
    voxel_bytes = math.prod(int(length) for length in image.shape) * dtype.itemsize
    checks.refuse_too_short(data_file, voxel_bytes, is_compressed=is_compressed)
    try:
        stored = np.asarray(image.dataobj.get_unscaled())
    except (EOFError, zlib.error, OSError, ValueError) as error:
        raise checks.damaged(path, error) from error
    return stored, float(image.dataobj.slope), float(image.dataobj.inter)


def _geometry_in_mm(image: Any) -> tuple[np.ndarray, tuple[str, ...]]:  # noqa: ANN401
    ijk_to_ras = np.array(image.affine, dtype=np.float64)
    unit = _length_unit(image.header)
    if unit not in _MILLIMETRES:
        return ijk_to_ras, ()
    ijk_to_ras[:3] *= _MILLIMETRES[unit]
    return ijk_to_ras, (f"The file gives lengths in the unit {unit}; they were turned into mm.",)


def _length_unit(header: Any) -> str:  # noqa: ANN401
    if "xyzt_units" not in header:
        return "mm"
    try:
        return str(header.get_xyzt_units()[0])
    except KeyError:
        # A unit code that the standard does not know: everybody reads such files as mm.
        return "unknown"


def _orientation_notes(image: Any) -> tuple[str, ...]:  # noqa: ANN401
    header = image.header
    if "sform_code" not in header:
        return () if "goodRASFlag" in header and int(header["goodRASFlag"]) else (_NO_ORIENTATION,)
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    if sform is None and qform is None:
        return (_NO_ORIENTATION,)
    if sform is not None and qform is not None and not geometry.is_sheared(sform):
        distance = geometry.largest_distance(sform, qform, image.shape[:3])
        if distance > geometry.spacing_of(sform).min():
            return (f"The file's sform and qform differ by up to {distance:.1f} mm; the sform was used.",)
    return ()


def _qform(header: Any) -> np.ndarray | None:  # noqa: ANN401
    from nibabel.spatialimages import HeaderDataError

    try:
        return header.get_qform(coded=True)[0]
    except HeaderDataError:
        # An invalid quaternion: the reader used the sform, and there is nothing to compare it with.
        return None


_NO_ORIENTATION = "The file stores no orientation: which side is left is a guess."
