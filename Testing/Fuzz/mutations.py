"""Ways to damage a file: what transfers, disks, editors and careless programs do, drawn from one seed."""

from __future__ import annotations

import gzip
import os
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_ODD_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"3", b"17", b"65536", b"999999999", b"-999999999999", b"1e30", b"nan", b"inf", b"x", b"",
)  # fmt: skip
_ODD_WORDS = (
    b"raw",
    b"gzip",
    b"little",
    b"big",
    b"float",
    b"double",
    b"uchar",
    b"MET_FLOAT",
    b"True",
    b"False",
    b"LOCAL",
)
_TEXT_HEADERS = (".nrrd", ".nhdr", ".mha", ".mhd")
_KEYWORDS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "PhotometricInterpretation", "SeriesInstanceUID", "Modality", "ImageType",
    "SOPClassUID", "PixelData", "AcquisitionNumber",
)  # fmt: skip
_ODD_VALUES = (
    0, 1, 2, 7, 8, 12, 15, 16, 32, 512, 65535, "", "0", "-1", "1.5", "nan", "1e400", "MONOCHROME1", "RGB",
    "PALETTE COLOR", "LOCALIZER", "MR", None, [1, 2], [1.0, 0.0, 0.0], [0, 0, 0, 0, 0, 0],
    [0, 1, 0, 1, 0, 0], b"", b"\0\1",
)  # fmt: skip


def mutate(target: Path, rng: np.random.Generator) -> str:
    """Damage a scan on the disk in one to three ways.

    Args:
        target: The file or DICOM folder that is read.
        rng: Decides all.

    Returns:
        What was done, for the report.
    """
    done = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        done.append(_mutate_once(target, rng))
    return "; ".join(done)


def _mutate_once(target: Path, rng: np.random.Generator) -> str:
    files = sorted(
        path for path in (target if target.is_dir() else target.parent).iterdir() if path.is_file()
    )
    if not files:
        return "nothing left"
    path = files[int(rng.integers(len(files)))]
    ways: list[Callable[[Path, np.random.Generator], str]] = [*_BYTES_WAYS]
    if path.suffix in _TEXT_HEADERS:
        ways += [_change_number, _change_number, _change_line, _change_word]
    if path.suffixes[-1:] in ([".nii"], [".hdr"]) or path.name.endswith(".nii.gz"):
        ways += [_change_header_field, _change_header_field]
    if target.is_dir() or path.suffix == ".dcm":
        ways += [_change_element] * 5 + (
            [_change_all_elements] * 2 + [_remove, _repeat] if target.is_dir() else []
        )
    return f"{path.name}: {ways[int(rng.integers(len(ways)))](path, rng)}"


def _flip_bits(path: Path, rng: np.random.Generator) -> str:
    content = bytearray(path.read_bytes())
    places = rng.integers(0, max(len(content), 1), int(rng.choice([1, 1, 2, 8])))
    for place in places if content else ():
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return f"bits flipped at {places.tolist()}"


def _flip_early_bits(path: Path, rng: np.random.Generator) -> str:
    """In the part where headers are."""
    content = bytearray(path.read_bytes())
    place = int(rng.integers(0, max(min(len(content), 400), 1)))
    if content:
        content[place] = int(rng.integers(256))
    path.write_bytes(content)
    return f"byte {place} replaced"


def _truncate(path: Path, rng: np.random.Generator) -> str:
    kept = int(rng.integers(0, path.stat().st_size + 1))
    path.write_bytes(path.read_bytes()[:kept])
    return f"cut to {kept} bytes"


def _cut_tail(path: Path, rng: np.random.Generator) -> str:
    kept = max(path.stat().st_size - int(rng.integers(1, 12)), 0)
    path.write_bytes(path.read_bytes()[:kept])
    return f"cut to {kept} bytes"


def _append(path: Path, rng: np.random.Generator) -> str:
    junk = bytes(int(rng.integers(1, 64))) if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 64)))
    path.write_bytes(path.read_bytes() + junk)
    return f"{len(junk)} bytes appended"


def _drop_piece(path: Path, rng: np.random.Generator) -> str:
    content = path.read_bytes()
    start, length = int(rng.integers(0, len(content) + 1)), int(rng.integers(1, 40))
    path.write_bytes(content[:start] + content[start + length :])
    return f"{length} bytes dropped at {start}"


def _zero_piece(path: Path, rng: np.random.Generator) -> str:
    content = bytearray(path.read_bytes())
    start, length = int(rng.integers(0, len(content) + 1)), int(rng.integers(1, 200))
    content[start : start + length] = bytes(len(content[start : start + length]))
    path.write_bytes(content)
    return f"{length} bytes zeroed at {start}"


def _change_number(path: Path, rng: np.random.Generator) -> str:
    content = path.read_bytes()
    found = list(_NUMBER.finditer(content[:600]))
    if not found:
        return "no number"
    one, new = found[int(rng.integers(len(found)))], _ODD_NUMBERS[int(rng.integers(len(_ODD_NUMBERS)))]
    path.write_bytes(content[: one.start()] + new + content[one.end() :])
    return f"number {one.group()!r} at {one.start()} became {new!r}"


def _change_word(path: Path, rng: np.random.Generator) -> str:
    content = path.read_bytes()
    found = list(re.finditer(rb"[A-Za-z_]{3,}", content[:500]))
    if not found:
        return "no word"
    one, new = found[int(rng.integers(len(found)))], _ODD_WORDS[int(rng.integers(len(_ODD_WORDS)))]
    path.write_bytes(content[: one.start()] + new + content[one.end() :])
    return f"word {one.group()!r} became {new!r}"


def _change_line(path: Path, rng: np.random.Generator) -> str:
    lines = path.read_bytes().split(b"\n")
    n = int(rng.integers(min(len(lines), 14)))
    if rng.random() < 0.5:
        path.write_bytes(b"\n".join(lines[:n] + lines[n + 1 :]))
        return f"line {lines[n][:40]!r} dropped"
    path.write_bytes(b"\n".join([*lines[: n + 1], *lines[n:]]))
    return f"line {lines[n][:40]!r} doubled"


def _change_header_field(path: Path, rng: np.random.Generator) -> str:
    """Overwrite a number of a NIfTI header, behind the compression."""
    is_gzip = path.name.endswith(".gz")
    try:
        content = bytearray(gzip.decompress(path.read_bytes()) if is_gzip else path.read_bytes())
    except (OSError, EOFError, zlib.error):
        return "not decompressed"
    kind, values = [
        ("<i2", (0, 1, -1, 3, 4, 7, 255, 32767)),
        ("<f4", (0.0, 1.0, -1.0, 0.5, 352.0, 1e30, np.nan, np.inf)),
    ][int(rng.integers(2))]
    place = int(rng.integers(0, 340 // np.dtype(kind).itemsize)) * np.dtype(kind).itemsize
    value = np.array(values[int(rng.integers(len(values)))], kind)
    content[place : place + value.nbytes] = value.tobytes()
    path.write_bytes(gzip.compress(bytes(content), mtime=0) if is_gzip else content)
    return f"{kind} at {place} became {value}"


def _change_element(path: Path, rng: np.random.Generator) -> str:
    keyword = _KEYWORDS[int(rng.integers(len(_KEYWORDS)))]
    value = _ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))]
    return _set_element(path, keyword, value, must_delete=rng.random() < 0.2)


def _change_all_elements(path: Path, rng: np.random.Generator) -> str:
    keyword = _KEYWORDS[int(rng.integers(len(_KEYWORDS)))]
    value = _ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))]
    must_delete = rng.random() < 0.2
    for one in sorted(path.parent.iterdir()):
        done = _set_element(one, keyword, value, must_delete=must_delete)
    return f"all: {done}"


def _set_element(path: Path, keyword: str, value: object, *, must_delete: bool) -> str:
    unfinished = path.with_name(f".{path.name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            if must_delete:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
            pydicom.dcmwrite(unfinished, dataset)
            os.replace(unfinished, path)
    except Exception as error:  # what pydicom does not write is no mutation
        unfinished.unlink(missing_ok=True)
        return f"{keyword} left ({type(error).__name__})"
    return f"{keyword} {'deleted' if must_delete else f'became {value!r}'}"


def _remove(path: Path, rng: np.random.Generator) -> str:
    del rng
    path.unlink()
    return "removed"


def _repeat(path: Path, rng: np.random.Generator) -> str:
    name = f"IM{int(rng.integers(100, 200)):04d}"
    path.with_name(name).write_bytes(path.read_bytes())
    return f"repeated as {name}"


_BYTES_WAYS = (
    _flip_bits,
    _flip_early_bits,
    _flip_early_bits,
    _truncate,
    _cut_tail,
    _append,
    _drop_piece,
    _zero_piece,
)
