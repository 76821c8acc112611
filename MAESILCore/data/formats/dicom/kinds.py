"""The kind of a DICOM file, by its magic number and SOP class."""

from __future__ import annotations

import logging
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from MAESILCore.data.formats.scan import damaged, named
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Modalities of objects that accompany a scan but are no scan.
DERIVED_MODALITIES = frozenset({"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "SR", "PR", "KO", "REG"})

#: SOP classes of CT, MR, secondary capture, NM and PET images (DICOM PS3.4, table B.5-1); 4.2 is MR spectroscopy.
_IMAGE_STORAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(?!4\.2$)(2|4|7|20|128|130)(\.\d+)*")

_UID = re.compile(r"\d+(\.\d+)+")

#: Prefix of the UIDs of the standard.
_STANDARD_ROOT = "1.2.840.10008."

#: The element (0002,0002) Media Storage SOP Class UID; the file meta group is always explicit little endian.
_MEDIA_STORAGE_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([\d.]+)", re.DOTALL)

_META_BYTES = 1024


class Kind(Enum):
    """The kind of a DICOM file."""

    IMAGE = auto()
    OTHER = auto()
    #: The SOP class is missing or damaged, or its two values differ.
    UNCLEAR = auto()


def is_dicom(path: Path) -> bool:
    """Whether this is a regular file with the DICOM magic number.

    Raises:
        VolumeError: the file cannot be opened.
    """
    return _first_bytes(path, 132)[128:] == b"DICM"


def is_dicom_image(path: Path) -> bool:
    """Whether the file is a CT, MR, PET, NM or secondary-capture image, by the class in its meta header if possible.

    Raises:
        VolumeError: the file cannot be opened, or a header without such a class cannot be read.
    """
    first = _first_bytes(path, _META_BYTES)
    if first[128:132] != b"DICM":
        return False
    found = _MEDIA_STORAGE_CLASS.search(first, 132)
    kind = _kind_of_class(found.group(1).decode("ascii")) if found is not None else Kind.UNCLEAR
    if kind is not Kind.UNCLEAR:
        return kind is Kind.IMAGE
    with parsing(path):
        from pydicom import dcmread

        dataset = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "Modality", "Rows"])
        return kind_of(dataset) is Kind.IMAGE


def kind_of(dataset: Dataset) -> Kind:
    """The kind by the SOP class of the data set; the fallback is the class of the meta header."""
    own, meta = text_of(dataset, "SOPClassUID"), text_of(dataset.file_meta, "MediaStorageSOPClassUID")
    kinds = [_kind_of_class(own), _kind_of_class(meta)]
    is_derived = text_of(dataset, "Modality") in DERIVED_MODALITIES
    if kinds == [Kind.UNCLEAR, Kind.UNCLEAR]:
        # A class stated twice without rows may be newer than the list; with rows, it may be a lost slice.
        is_new = own == meta and _UID.fullmatch(own) is not None and "Rows" not in dataset
        return Kind.OTHER if is_new or is_derived else Kind.UNCLEAR
    if kinds[0] is Kind.UNCLEAR:
        return kinds[1]
    # Some programs copy the meta header of a CT image to the structure sets and plans that they write.
    if kinds == [Kind.OTHER, Kind.IMAGE] and not is_derived:
        return Kind.UNCLEAR
    return kinds[0]


def _kind_of_class(uid: str) -> Kind:
    if _IMAGE_STORAGE.fullmatch(uid):
        return Kind.IMAGE

    from pydicom.uid import UID

    if not _UID.fullmatch(uid):
        return Kind.UNCLEAR
    # A UID may be truncated; the name of an unlisted UID is the UID itself.
    is_of_standard = uid.startswith(_STANDARD_ROOT) or _STANDARD_ROOT.startswith(uid)
    return Kind.UNCLEAR if is_of_standard and UID(uid).name == uid else Kind.OTHER


def text_of(dataset: Dataset, keyword: str) -> str:
    """A value as text, see `plain`."""
    return plain(dataset.get(keyword))


def plain(value: object) -> str:
    """A value as text without padding, "" if there is none."""
    return "" if value is None else str(value).strip(" \0")


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Silence pydicom, and convert its exceptions on a damaged file to a `VolumeError` with the name of the file."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with named(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (VolumeError, OSError, MemoryError, ImportError):
            raise
        except Exception as error:
            # pydicom converts values lazily; damaged ones raise about ten exception types.
            raise damaged("its DICOM header cannot be read") from error
        finally:
            logger.setLevel(level)


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {error.strerror}.") from error
