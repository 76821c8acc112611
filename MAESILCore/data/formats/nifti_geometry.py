"""The geometry of a NIfTI header: the sform, else the qform, else the spacing alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.formats import geometry, units
from MAESILCore.data.formats.scan import Unreadable

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

#: Tolerance for the length of a qform quaternion: 1e-5 plus 32-bit rounding.
_QUATERNION_ROUNDING = 1.5e-5

#: Units of length by the lowest three bits of xyzt_units; 0 is the standard's code for an unknown one.
_UNITS = {0: "", 1: "meter", 2: "mm", 3: "micron"}


def ijk_to_ras_of(
    header: Nifti1Header, qfac: float, shape: tuple[int, int, int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The (4, 4) IJK-to-RAS matrix in mm: the sform, else the qform, else the spacing alone.

    Args:
        header: the header, repaired.
        qfac: sign of the k axis in the file.
        shape: (i, j, k).

    Raises:
        Unreadable: the qform is needed and not valid.
    """
    sform = header.get_sform(coded=True)[0]
    qform = _qform(header, is_needed=sform is None)
    notes: tuple[str, ...] = ()
    is_degenerate = sform is not None and not geometry.is_invertible(sform)
    if is_degenerate and qform is not None and geometry.is_invertible(qform):
        sform, notes = None, ("The file's sform is degenerate; the qform was used.",)
    ijk_to_ras = sform if sform is not None else qform
    if ijk_to_ras is None:
        ijk_to_ras, notes = header.get_base_affine(), (geometry.NO_ORIENTATION,)
    elif sform is None and qfac not in (-1.0, 0.0, 1.0):
        notes = (*notes, f"The header's qfac is {qfac:g}, not 1 or -1; only its sign was used.")
    elif sform is not None and qform is not None and not is_degenerate and not geometry.is_sheared(sform):
        distance = geometry.largest_distance(sform, qform, shape)
        if distance > geometry.spacing_of(sform).min():
            notes = (f"The file's sform and qform differ by up to {distance:.1f} mm; the sform was used.",)
    code = int(header["xyzt_units"]) & 7
    factor, unit_notes = units.millimetres([_UNITS.get(code, f"code {code}")])
    ijk_to_ras = np.array(ijk_to_ras, dtype=np.float64)
    ijk_to_ras[:3] *= factor[0]
    return ijk_to_ras, (*unit_notes, *notes)


def _qform(header: Nifti1Header, *, is_needed: bool) -> np.ndarray | None:
    """The qform matrix, None if there is none, or if it is invalid and the sform is there.

    Raises:
        Unreadable: the quaternion is too long or the spacing negative, and no sform replaces it.
    """
    from nibabel.spatialimages import HeaderDataError

    parts = np.array([float(header[f"quatern_{part}"]) for part in "bcd"])
    length = math.hypot(*parts.tolist())
    header = header.copy()
    if 1.0 < length <= 1.0 + _QUATERNION_ROUNDING:
        for part, value in zip("bcd", parts / length, strict=True):
            header[f"quatern_{part}"] = value
    try:
        return header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError) as error:
        if is_needed:
            problem = f"its quaternion has the length {length:.6g}" if length > 1.0 else str(error)
            raise Unreadable(f"has no valid qform ({problem}) and no sform: export it again.") from error
        return None
