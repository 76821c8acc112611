"""NIfTI headers through nibabel: repairs, extensions and the voxel offset."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore.data.formats import voxeldata
from MAESILCore.data.formats.scan import Unreadable

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

#: Sizes of the headers of NIfTI-1 and NIfTI-2, and the places of their marks.
_NIFTI_1_BYTES, _NIFTI_1_MARK = 348, slice(344, 347)
LONGEST, _NIFTI_2_MARK = 540, slice(4, 7)

#: Size of the flag after the header that announces extensions.
_FLAG_BYTES = 4

#: An extension begins with its length, a multiple of this, and its kind.
_EXTENSION_UNIT, _EXTENSION_START = 16, 8

#: Irrelevant report of nibabel, as alignment concerns only SPM.
_HARMLESS = "not divisible by 16"


@dataclass(frozen=True)
class CheckedHeader:
    """A header that nibabel has checked and repaired.

    Attributes:
        header: the repaired header.
        qfac: sign of the k axis in the file, before repairs.
        end: byte behind the header and its extensions, of a single file; else 0.
        has_extensions: whether extensions are between the header and `end`.
        notes: what was repaired.
    """

    header: Nifti1Header
    qfac: float
    end: int
    has_extensions: bool
    notes: tuple[str, ...]


def mark_of(block: bytes) -> bytes:
    """The mark of NIfTI-1 (ni1, n+1) or NIfTI-2 (ni2, n+2) in the first bytes of a file, empty if there is none."""
    first, second = block[_NIFTI_1_MARK], block[_NIFTI_2_MARK]
    return second if second in (b"ni2", b"n+2") else first if first in (b"ni1", b"n+1") else b""


def read(header_path: Path, *, is_single: bool) -> CheckedHeader:
    """Read and check a header.

    Args:
        header_path: the file with the header.
        is_single: whether the voxels are in the same file.

    Raises:
        Unreadable: there is no NIfTI header, or one of the other kind.
    """
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

    with voxeldata.decompressed(header_path) as stream:
        block = stream.read(LONGEST)
        if not is_single:
            voxeldata.count_rest(stream)
    mark = mark_of(block)
    if not mark:
        raise Unreadable("has no readable NIfTI header: copy or export it again.")
    if is_single != mark.startswith(b"n+"):
        where = "in a file beside it" if is_single else "in the same file"
        raise Unreadable(f"says that its voxels are {where}, and its name does not: export it again.")
    if mark.endswith(b"2"):
        kind: Any = Nifti2Header if is_single else Nifti2PairHeader
    else:
        kind, block = Nifti1Header if is_single else Nifti1PairHeader, block[:_NIFTI_1_BYTES]
    header = kind(block, check=False)
    qfac = float(header["pixdim"][0])
    # The sign alone counts in the reference library of NIfTI and in ITK; nibabel would turn -2 into 1.
    header["pixdim"][0] = -1 if qfac < 0 else 1
    repairs = _Repairs()
    logger = logging.Logger("maesil.nifti")
    logger.addHandler(repairs)
    header.check_fix(logger=logger, error_level=40)
    start = len(block) + _FLAG_BYTES if is_single else 0
    end = _end_of_extensions(header_path, header, start) if is_single else 0
    note = f"The header is not valid and was repaired: {'; '.join(repairs.made)}."
    return CheckedHeader(header, qfac, end, end > start, (note,) if repairs.made else ())


class _Repairs(logging.Handler):
    """Collects nibabel's reports on repairs."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _HARMLESS not in record.getMessage():
            self.made.append(record.getMessage())


def _end_of_extensions(path: Path, header: Nifti1Header, start: int) -> int:
    """The byte behind the header extensions, `start` if there are none.

    The walk ends behind the extension in which the stated voxels begin, or at what cannot be an extension.
    """
    stated = float(header["vox_offset"])
    is_little = header.endianness == "<"
    with voxeldata.decompressed(path) as stream:
        flag = stream.read(start)[-_FLAG_BYTES:]
        end = start
        while any(flag[:1]) and (stated == 0 or end <= stated):
            first = stream.read(_EXTENSION_START)[:4]
            length = int.from_bytes(first, "little" if is_little else "big", signed=True)
            is_possible = length >= _EXTENSION_UNIT and length % _EXTENSION_UNIT == 0
            if not is_possible or not voxeldata.skip(stream, length - _EXTENSION_START):
                break
            end += length
    return end


def voxel_offset(checked: CheckedHeader, *, is_single: bool) -> tuple[int, tuple[str, ...]]:
    """The byte at which the voxels begin, and a note if the header does not state it.

    Raises:
        Unreadable: the header states a byte inside of itself.
    """
    offset = float(checked.header["vox_offset"])
    earliest = len(checked.header.binaryblock) + _FLAG_BYTES if is_single else 0
    if is_single and offset == 0:
        note = f"The header does not say where the voxels begin; byte {checked.end} was taken."
        return checked.end, (note,)
    if not offset.is_integer() or offset < earliest:
        raise Unreadable(
            f"says that its voxels begin at byte {offset:g}, inside the header: export it again."
        )
    return int(offset), ()


def refuse_extensions_as_voxels(checked: CheckedHeader, offset: int, extra: int) -> None:
    """Reject voxels that begin before the header's extensions end, if there are as many bytes too many at the end.

    A file without such a surplus has a damaged chain of extensions, and its voxels are where it says.

    Args:
        checked: the header.
        offset: the byte from which the voxels were read.
        extra: how many bytes were left behind them.

    Raises:
        Unreadable: the voxels that were read are in part a header extension, or may be.
    """
    if not checked.has_extensions or not extra:
        return
    if float(checked.header["vox_offset"]) == 0:
        raise Unreadable(
            f"does not say where its voxels begin, and the {extra} bytes behind its header extensions "
            "and voxels leave that open: export it again."
        )
    if offset < checked.end <= offset + extra:
        raise Unreadable(
            f"says that its voxels begin at byte {offset}, inside a header extension that ends at byte "
            f"{checked.end}: export it again."
        )
