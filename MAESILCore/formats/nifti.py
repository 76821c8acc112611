"""NIfTI-1 and NIfTI-2 (.nii, .nii.gz, .hdr/.img): headers through nibabel, voxels read whole, shear included."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, geometry, numbers, units, voxeldata
from MAESILCore.formats.names import extension_of
from MAESILCore.formats.scan import Scan

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

NO_ORIENTATION = "The file stores no orientation: which side is left is a guess."

_NIFTI_2_BYTES = 540
_PAIR_MAGIC, _SINGLE_MAGIC = b"ni1", b"n+1"

#: Voxels of a single file begin behind the header and four bytes that announce extensions.
_EARLIEST_VOXELS = {348: 352, _NIFTI_2_BYTES: 544}

#: How far from 1 the length of a qform quaternion may be by rounding, as the square.
_QUATERNION_ROUNDING = 1e-5

#: What nibabel repairs without harm: the standard reads a qfac of 0 as 1, and alignment concerns SPM alone.
_HARMLESS = ("not divisible by 16", "pixdim[0] (qfac)")


def read(path: Path) -> Scan:
    """Read one NIfTI file or pair.

    Raises:
        VolumeError: If the file is damaged, or holds no real-valued 3D volume.
    """
    is_single = extension_of(path) in (".nii", ".nii.gz")
    header_path, data_path = (path, path) if is_single else pair(path)
    with readable(path):
        header, notes = _read_header(path, header_path, is_single=is_single)
        dtype = np.dtype(header.get_data_dtype())
        checks.refuse_pixel_kind(path, dtype)
        size = tuple(int(length) for length in header.get_data_shape())
        shape, shape_notes = checks.squeeze_to_3d(path, size)
        offset, offset_notes = _voxel_offset(path, header, is_single=is_single)
        slope, intercept, slope_notes = _slope_and_intercept(header)
        ijk_to_ras, geometry_notes = _geometry(path, header, shape)
        is_gzip = extension_of(data_path).endswith(".gz")
        data = voxeldata.VoxelData([data_path], "deflate" if is_gzip else "raw", skip_bytes=offset)
        stored, extra = voxeldata.read_voxels(path, data, dtype, size)
    voxels = numbers.rescale(stored.reshape(shape[::-1]), slope, intercept)
    extra_notes = voxeldata.extra_bytes_notes(extra)
    return Scan(
        voxels,
        ijk_to_ras,
        (*shape_notes, *geometry_notes, *notes, *offset_notes, *slope_notes, *extra_notes),
    )


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
def readable(path: Path) -> Iterator[None]:
    """Turn what nibabel raises on a damaged file into one sentence."""
    try:
        # Damaged headers hold numbers that overflow; what comes of them is checked where it is used.
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
        # nibabel checks a header field where it is used: a damaged one raises any of some ten kinds of error.
        reason = f" ({error})" if type(error).__name__ == "HeaderDataError" else ""
        message = (
            f"{path.name} has no readable NIfTI, MGH or Analyze header{reason}: copy or export it again."
        )
        raise VolumeError(message) from error


def is_nifti(path: Path) -> bool:
    """Whether a .nii or .hdr file has the mark of NIfTI-1 or NIfTI-2.

    Raises:
        VolumeError: If the file is damaged.
    """
    with readable(path), voxeldata.decompressed(path) as stream:
        block = stream.read(_NIFTI_2_BYTES)
    return _is_nifti_1(block) or _is_nifti_2(block)


def _is_nifti_1(block: bytes) -> bool:
    return block[344:347] in (_PAIR_MAGIC, _SINGLE_MAGIC)


def _is_nifti_2(block: bytes) -> bool:
    return block[4:7] in (b"ni2", b"n+2")


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


def _read_header(path: Path, header_path: Path, *, is_single: bool) -> tuple[Nifti1Header, tuple[str, ...]]:
    """The checked header, and what nibabel repaired in it."""
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

    with voxeldata.decompressed(header_path) as stream:
        block = stream.read(_NIFTI_2_BYTES)
        if not is_single:
            voxeldata.verify_rest(stream)
    if _is_nifti_2(block):
        kind: Any = Nifti2Header if is_single else Nifti2PairHeader
        magic = block[4:7]
    elif _is_nifti_1(block):
        kind = Nifti1Header if is_single else Nifti1PairHeader
        magic, block = block[344:347], block[:348]
    else:
        raise VolumeError(f"{path.name} has no readable NIfTI header: copy or export it again.")
    if is_single != magic.startswith(b"n+"):
        where = "in a file beside it" if is_single else "in the same file"
        raise VolumeError(
            f"{path.name} says that its voxels are {where}, and its name does not: export it again."
        )
    header = kind(block, check=False)
    repairs = _Repairs()
    header.check_fix(logger=repairs.logger, error_level=40)
    return header, repairs.notes()


class _Repairs(logging.Handler):
    """What nibabel reports while it repairs a header."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: list[str] = []
        self.logger = logging.Logger("maesil.nifti")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())

    def notes(self) -> tuple[str, ...]:
        harmful = [text for text in self._messages if not any(part in text for part in _HARMLESS)]
        return (f"The header is not valid and was repaired: {'; '.join(harmful)}.",) if harmful else ()


def _voxel_offset(path: Path, header: Nifti1Header, *, is_single: bool) -> tuple[int, tuple[str, ...]]:
    """The byte at which the voxels begin."""
    offset = float(header["vox_offset"])
    earliest = _EARLIEST_VOXELS[int(header.template_dtype.itemsize)] if is_single else 0
    if is_single and offset == 0:
        return earliest, (f"The header does not say where the voxels begin; byte {earliest} was taken.",)
    if not offset.is_integer() or offset < earliest:
        raise VolumeError(
            f"{path.name} says that its voxels begin at byte {offset:g}, inside the header: export it again."
        )
    return int(offset), ()


def _slope_and_intercept(header: Nifti1Header) -> tuple[float, float, tuple[str, ...]]:
    slope, intercept = header.get_slope_inter()
    if slope is not None:
        return float(slope), float(intercept), ()
    # A slope of 0 means that there is none, and nibabel writes NaN for the same.
    is_usual = not np.isinf(header["scl_slope"])
    return 1.0, 0.0, () if is_usual else ("The header's slope is infinite and was not applied.",)


def _geometry(
    path: Path, header: Nifti1Header, shape: tuple[int, int, int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The (4, 4) IJK-to-RAS matrix in mm: the sform, else the qform, else the spacing alone."""
    sform = header.get_sform(coded=True)[0]
    qform = _qform(path, header, is_needed=sform is None)
    notes: tuple[str, ...] = ()
    ijk_to_ras = sform if sform is not None else qform
    if ijk_to_ras is None:
        ijk_to_ras, notes = header.get_base_affine(), (NO_ORIENTATION,)
    elif sform is not None and qform is not None and geometry.is_rigid(sform):
        distance = geometry.largest_distance(sform, qform, shape)
        if distance > geometry.spacing_of(sform).min():
            notes = (f"The file's sform and qform differ by up to {distance:.1f} mm; the sform was used.",)
    factor, unit_notes = units.millimetres([_length_unit(header)])
    ijk_to_ras = np.array(ijk_to_ras, dtype=np.float64)
    ijk_to_ras[:3] *= factor[0]
    return ijk_to_ras, (*unit_notes, *notes)


def _qform(path: Path, header: Nifti1Header, *, is_needed: bool) -> np.ndarray | None:
    """The qform matrix, None if there is none, or if it is invalid and the sform is there.

    Raises:
        VolumeError: If the quaternion is too long or the spacing negative, and no sform replaces it.
    """
    from nibabel.spatialimages import HeaderDataError

    parts = np.array([float(header[f"quatern_{part}"]) for part in "bcd"])
    squared = math.fsum(part * part for part in parts.tolist())
    header = header.copy()
    if 1.0 < squared <= 1.0 + _QUATERNION_ROUNDING:
        for part, value in zip("bcd", parts / math.sqrt(squared), strict=True):
            header[f"quatern_{part}"] = value
    try:
        return header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError) as error:
        if is_needed:
            problem = (
                f"its quaternion has the length {math.sqrt(squared):.6g}" if squared > 1.0 else str(error)
            )
            raise VolumeError(
                f"{path.name} has no valid qform ({problem}) and no sform: export it again."
            ) from error
        return None


def _length_unit(header: Any) -> str:  # noqa: ANN401 - nibabel is untyped
    try:
        unit = str(header.get_xyzt_units()[0])
    except KeyError:
        # A code that the standard does not know: other readers take such files as mm.
        return ""
    return "" if unit == "unknown" else unit
