"""Voxel data in raw, compressed or text files, with verified checksums.

The libraries of the formats stop before the checksum, or return the partial data of a broken stream.
"""

from __future__ import annotations

import bz2
import io
import itertools
import operator
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from MAESILCore.data.formats import content
from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.formats.scan import Unreadable, damaged
from MAESILCore.data.formats.textheader import decimal, integer

_CHUNK = 1 << 20
_LONGEST_NAME = 80

#: Maximum bytes per compressed byte: deflate by zlib's technical notes, bzip2 by its run lengths.
_LARGEST_RATIOS = {"raw": 1, "deflate": 1032, "bzip2": 1 << 16, "text": 1 << 3, "hex": 1}


@dataclass(frozen=True)
class VoxelData:
    """Location and encoding of voxels.

    Attributes:
        files: the data files, in order.
        encoding: "raw", "deflate" (gzip or zlib), "bzip2", "text" or "hex".
        skip_lines: lines before the data of each file.
        skip_bytes: decompressed bytes before the voxels of each file; -1 if the voxels end the file.
        start: byte offset of the data in a single file with header.
    """

    files: Sequence[Path]
    encoding: str = "raw"
    skip_lines: int = 0
    skip_bytes: int = 0
    start: int = 0

    @classmethod
    def behind(cls, path: Path, skip_bytes: int) -> VoxelData:
        """Raw voxels behind some bytes of a file that gzip compresses if its name says so."""
        is_gzip = path.suffix.lower() in (".gz", ".mgz")
        return cls([path], "deflate" if is_gzip else "raw", skip_bytes=skip_bytes)


def read_voxels(data: VoxelData, dtype: np.dtype, shape: Sequence[int]) -> tuple[np.ndarray, int]:
    """Read the voxels of an (i, j, k, ...) shape, flat, i fastest, in the byte order of `dtype`.

    Args:
        data: location of the voxels.
        dtype: type of the stored values.
        shape: lengths of the axes, fastest first.

    Returns:
        The voxels, and the number of extra bytes after them.

    Raises:
        VolumeError: a data file is missing, shorter than announced, or does not decode; with several files, also if
            one is longer, or if they do not hold whole slices.
    """
    count = int(np.prod([int(length) for length in shape], dtype=object))
    if min(shape) < 1 or count < 1:
        raise damaged(f"its header announces the shape {dimensions_text(tuple(shape))}")
    _refuse_missing(data.files)
    _refuse_cut_slices(len(data.files), shape)
    announced = count * dtype.itemsize
    held = sum(file.stat().st_size for file in data.files) * _LARGEST_RATIOS[data.encoding]
    if announced > held * (dtype.itemsize if data.encoding == "text" else 1):
        if data.encoding == "raw":
            for file in data.files:
                content.refuse_archive(file)
        raise damaged(f"its header announces {announced} bytes of voxels, more than it can hold")
    buffer, extra = bytearray(announced), 0
    share = announced // len(data.files)
    with memoryview(buffer) as view:
        for n, file in enumerate(data.files):
            extra = _fill(file, data, dtype, view[n * share : (n + 1) * share])
            if extra and len(data.files) > 1:
                # Extra bytes may be before or after the voxels.
                raise Unreadable(
                    f"announces {share} bytes of voxels in each of its data files, but {file.name} holds {extra} bytes "
                    "more: correct the header, or save the scan as one file, such as .nii.gz."
                )
    return np.frombuffer(buffer, dtype), extra


def extra_bytes_notes(extra: int) -> tuple[str, ...]:
    """The note about extra bytes, if there are any."""
    note = f"{extra} bytes behind the voxels were ignored; the header does not announce them."
    return (note,) if extra else ()


@contextmanager
def decompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that may be compressed with gzip; reading to its end verifies checksum and length."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == content.GZIP_MARK
        file.seek(0)
        yield inflated(file) if is_gzip else file


def inflated(file: IO[bytes]) -> IO[bytes]:
    """The decompressed content of a gzip or zlib file."""
    return io.BufferedReader(_Inflated(file), _CHUNK)


def count_rest(stream: IO[bytes]) -> int:
    """Read a stream to its end, which verifies its checksum; returns the number of bytes."""
    return sum(map(len, iter(lambda: stream.read(_CHUNK), b"")))


def skip(stream: IO[bytes], count: int) -> bool:
    """Pass over bytes of a stream; returns whether it has so many."""
    while count > 0 and (piece := stream.read(min(_CHUNK, count))):
        count -= len(piece)
    return count <= 0


class _Inflated(io.RawIOBase):
    """A gzip or zlib file, decompressed while it is read; its last read compares the checksum.

    Several gzip members are one stream. Data after the last one are ignored.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decompressor = zlib.decompressobj(wbits=47)
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            if self._decompressor.eof and not self._begin_next_member():
                return 0
            self._input = self._input or self._file.read(_CHUNK)
            if not self._input:
                raise EOFError("the compressed data end too early")
            piece = self._decompressor.decompress(self._input, min(len(buffer), _CHUNK))
            self._input = self._decompressor.unconsumed_tail or self._decompressor.unused_data
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)

    def _begin_next_member(self) -> bool:
        self._input += self._file.read(_CHUNK) if len(self._input) < len(content.GZIP_MARK) else b""
        if not self._input.startswith(content.GZIP_MARK):
            return False
        self._decompressor = zlib.decompressobj(wbits=31)
        return True


def _refuse_missing(files: Sequence[Path]) -> None:
    for file in files:
        if not file.is_file():
            name = file.name if len(file.name) <= _LONGEST_NAME else f"{file.name[:_LONGEST_NAME]}..."
            raise Unreadable(f"names the data file {name}, which is not beside it.")
        content.refuse_stand_in(file)


def _refuse_cut_slices(count: int, shape: Sequence[int]) -> None:
    """Reject several data files that hold neither one piece of the image each nor as many of its slices.

    NRRD defines pieces of any number of the fastest axes, and files of equally many pieces along the slowest.
    """
    lengths = [int(length) for length in shape if length > 1] or [1]
    if lengths[-1] % count and count not in itertools.accumulate(reversed(lengths), operator.mul):
        raise Unreadable(
            f"names {count} data files, among which the slices of its shape {dimensions_text(tuple(shape))} cannot be "
            "shared: correct the header."
        )


def _fill(file: Path, data: VoxelData, dtype: np.dtype, view: memoryview) -> int:
    """Fill the voxels of one file; returns the number of remaining bytes."""
    with file.open("rb") as stored:
        stored.seek(data.start)
        for _ in range(data.skip_lines):
            stored.readline()
        try:
            if data.encoding in ("text", "hex"):
                decode = _from_hex if data.encoding == "hex" else _from_text
                values, extra = decode(stored.read(), dtype, len(view))
                _refuse_short(len(values), len(view))
                view[:] = values
                return extra
            stream: IO[bytes] = stored
            if data.encoding == "deflate":
                stream = inflated(stored)
            elif data.encoding == "bzip2":
                stream = bz2.BZ2File(stored)
            if data.skip_bytes < 0:
                stream.seek(_bytes_before_end(file, data, len(view)))
            elif not skip(stream, data.skip_bytes):
                raise damaged("it ends before its voxels begin")
            _refuse_short(stream.readinto(view), len(view))  # type: ignore[attr-defined]
            return count_rest(stream)
        except (EOFError, OSError, OverflowError, ValueError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise damaged("its voxels end too early or do not decode") from error


def _refuse_short(there: int, wanted: int) -> None:
    if there < wanted:
        raise damaged(f"it has {there} of {wanted} bytes of voxels")


def _bytes_before_end(file: Path, data: VoxelData, voxel_bytes: int) -> int:
    if data.encoding != "raw":
        raise Unreadable("counts its voxels from the end of compressed data: save it again as .nii.gz.")
    size = file.stat().st_size
    _refuse_short(size - data.start, voxel_bytes)
    return size - voxel_bytes


def _from_hex(text: bytes, dtype: np.dtype, size: int) -> tuple[bytes, int]:
    """The voxels of hexadecimal text, and the number of remaining bytes."""
    decoded = bytes.fromhex(text.decode("ascii"))
    return decoded[:size], max(len(decoded) - size, 0)


def _from_text(text: bytes, dtype: np.dtype, size: int) -> tuple[bytes, int]:
    """The voxels of numbers in text, and the number of remaining bytes."""
    parse, count = (integer if dtype.kind in "iu" else decimal), size // dtype.itemsize
    words = text.split(None, count)
    extra = len(words.pop().rstrip()) if len(words) > count else 0
    # Integers that do not fit their type raise OverflowError.
    return np.array([parse(word.decode("ascii")) for word in words], dtype).tobytes(), extra
