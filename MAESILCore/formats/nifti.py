"""NIfTI (.nii, .nii.gz, .hdr/.img) and FreeSurfer MGH (.mgh, .mgz) through nibabel, shear included."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, geometry, numbers
from MAESILCore.formats.names import MGH, extension_of
from MAESILCore.formats.scan import Scan

_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


def read(path: Path) -> Scan:
    """Read one NIfTI or MGH file.

    Raises:
        VolumeError: If the file is damaged, or holds no real-valued 3D volume.
    """
    with _readable(path), _opened(path) as image:
        checks.refuse_pixel_kind(path, np.dtype(image.get_data_dtype()))
        shape, notes = checks.squeeze_to_3d(path, image.shape)
        _refuse_too_short(path, image)
        stored = np.asarray(image.dataobj.get_unscaled()).reshape(shape, order="F").T
    voxels = numbers.rescale(stored, float(image.dataobj.slope), float(image.dataobj.inter))
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


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what nibabel raises on a file into one sentence."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.freesurfer.mghformat import MGHError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        yield
    except FileNotFoundError as error:
        message = f"{path.name} is one half of a .hdr/.img pair, and the other half is not beside it."
        raise VolumeError(message) from error
    except (EOFError, zlib.error, OSError) as error:
        raise checks.damaged(path, "its voxels end too early or do not decode") from error
    except (
        ImageFileError,
        HeaderDataError,
        MGHError,
        WrapStructError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        message = f"{path.name} has no readable NIfTI or MGH header: copy or export it again."
        raise VolumeError(message) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import nibabel
    from nibabel.fileholders import FileHolder
    from nibabel.openers import ImageOpener

    if extension_of(path) in MGH:
        # nibabel leaves MGH files open when it opens them itself.
        with ImageOpener(str(path)) as stream:
            yield nibabel.MGHImage.from_file_map({"image": FileHolder(fileobj=stream.fobj)})
    else:
        yield nibabel.load(path, mmap=False)


def _refuse_too_short(path: Path, image: Any) -> None:  # noqa: ANN401 - nibabel is untyped
    data = Path(image.file_map["image"].filename or path)
    voxel_bytes = math.prod(int(length) for length in image.shape) * np.dtype(image.get_data_dtype()).itemsize
    checks.refuse_too_short(data, voxel_bytes, is_compressed=data.suffix.lower() in (".gz", ".mgz"))


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
