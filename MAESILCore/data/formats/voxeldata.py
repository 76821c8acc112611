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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from MAESILCore.data.formats import checks, content
from MAESILCore.data.formats.plainnumbers import decimal, integer
from MAESILCore.errors import VolumeError

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


def read_voxels(path: Path, data: VoxelData, dtype: np.dtype, shape: Sequence[int]) -> tuple[np.ndarray, int]:
    """Read the voxels of an (i, j, k, ...) shape, (..., k, j, i), in the byte order of `dtype`.

    Args:
        path: the header file, for error messages.
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
        raise checks.damaged(path, f"its header announces the shape {checks.dimensions_text(tuple(shape))}")
    _refuse_missing(path, data)
    _refuse_cut_slices(path, len(data.files), shape)
    announced = count * dtype.itemsize
    held = sum(file.stat().st_size for file in data.files) * _LARGEST_RATIOS[data.encoding]
    if announced > held * (dtype.itemsize if data.encoding == "text" else 1):
        for file in _detached(path, data):
            content.refuse_archive(file)
        raise checks.damaged(path, f"its header announces {announced} bytes of voxels, more than it can hold")
    buffer, extra = bytearray(announced), 0
    share = announced // len(data.files)
    with memoryview(buffer) as view:
        for n, file in enumerate(data.files):
            extra = _fill(path, file, data, dtype, view[n * share : (n + 1) * share])
            if extra and len(data.files) > 1:
                # Extra bytes may be before or after the voxels.
                raise VolumeError(
                    f"{file.name} holds {extra} bytes more than the {share} of voxels that {path.name} announces in "
                    "each of its data files: correct the header, or save the scan as one file, such as .nii.gz."
                )
    return np.frombuffer(buffer, dtype).reshape(tuple(shape)[::-1]), extra


@contextmanager
def decompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that may be compressed with gzip; reading to its end verifies checksum and length."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == content.GZIP_MARK
        file.seek(0)
        if is_gzip:
            with closing(io.BufferedReader(_Inflated(file), _CHUNK)) as stream:
                yield stream
        else:
            yield file


def verify_rest(stream: IO[bytes]) -> int:
    """Read a stream to its end, which verifies its checksum; returns the number of bytes."""
    count = 0
    while piece := stream.read(_CHUNK):
        count += len(piece)
    return count


def extra_bytes_notes(extra: int) -> tuple[str, ...]:
    """The note about extra bytes, if there are any."""
    return (
        (f"{extra} bytes behind the voxels were ignored; the header does not announce them.",)
        if extra
        else ()
    )


def read_exactly(path: Path, stream: IO[bytes], view: memoryview) -> None:
    """Fill a buffer from a stream.

    Raises:
        VolumeError: the stream ends too early.
    """
    filled = 0
    while filled < len(view):
        piece = stream.read(min(_CHUNK, len(view) - filled))
        if not piece:
            raise checks.damaged(path, f"it has {filled} of {len(view)} bytes of voxels")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)


def skip(path: Path, stream: IO[bytes], count: int) -> None:
    """Skip bytes of a stream.

    Raises:
        VolumeError: the stream ends too early.
    """
    while count > 0:
        piece = stream.read(min(_CHUNK, count))
        if not piece:
            raise checks.damaged(path, "it ends before its voxels begin")
        count -= len(piece)


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
            piece = self._decompressor.decompress(self._input, len(buffer))
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


def _refuse_missing(path: Path, data: VoxelData) -> None:
    for file in data.files:
        if not file.is_file():
            name = file.name if len(file.name) <= _LONGEST_NAME else f"{file.name[:_LONGEST_NAME]}..."
            raise VolumeError(f"{path.name} names the data file {name}, which is not beside it.")
    for file in _detached(path, data):
        content.refuse_stand_in(file)


def _detached(path: Path, data: VoxelData) -> list[Path]:
    return [file for file in data.files if file != path]


def _refuse_cut_slices(path: Path, count: int, shape: Sequence[int]) -> None:
    """Reject several data files that hold neither one piece of the image each nor as many of its slices.

    NRRD defines pieces of any number of the fastest axes, and files of equally many pieces along the slowest.
    """
    lengths = [int(length) for length in shape if length > 1] or [1]
    if lengths[-1] % count and count not in itertools.accumulate(reversed(lengths), operator.mul):
        raise VolumeError(
            f"{path.name} names {count} data files, among which the slices of its shape "
            f"{checks.dimensions_text(tuple(shape))} cannot be shared: correct the header."
        )


def _fill(path: Path, file: Path, data: VoxelData, dtype: np.dtype, view: memoryview) -> int:
    """Fill the voxels of one file; returns the number of remaining bytes."""
    with file.open("rb") as stored:
        stored.seek(data.start)
        for _ in range(data.skip_lines):
            stored.readline()
        try:
            if data.encoding in ("text", "hex"):
                return _fill_from_text(path, stored.read(), data.encoding, dtype, view)
            stream: IO[bytes] = stored
            if data.encoding == "deflate":
                stream = io.BufferedReader(_Inflated(stored), _CHUNK)
            elif data.encoding == "bzip2":
                stream = bz2.BZ2File(stored)
            skipped = data.skip_bytes
            if skipped < 0:
                skipped = _bytes_before_end(path, file, data, len(view))
                stream.seek(skipped)
            else:
                skip(path, stream, skipped)
            read_exactly(path, stream, view)
            return verify_rest(stream)
        except (EOFError, OSError, OverflowError, ValueError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise checks.damaged(path, "its voxels end too early or do not decode") from error


def _bytes_before_end(path: Path, file: Path, data: VoxelData, voxel_bytes: int) -> int:
    if data.encoding != "raw":
        raise VolumeError(
            f"{path.name} counts its voxels from the end of compressed data: save it anew as .nii.gz."
        )
    before = file.stat().st_size - voxel_bytes
    if before < data.start:
        raise checks.damaged(
            path, f"it has {file.stat().st_size - data.start} of {voxel_bytes} bytes of voxels"
        )
    return before


def _fill_from_text(path: Path, text: bytes, encoding: str, dtype: np.dtype, view: memoryview) -> int:
    """Fill a buffer from numbers in text; returns the number of remaining bytes."""
    if encoding == "hex":
        decoded = bytes.fromhex(text.decode("ascii"))
        values, extra = decoded[: len(view)], len(decoded[len(view) :])
    else:
        parse, count = (integer if dtype.kind in "iu" else decimal), len(view) // dtype.itemsize
        words = text.split(None, count)
        extra = len(words.pop().rstrip()) if len(words) > count else 0
        # Integers that do not fit their type raise OverflowError.
        values = np.array([parse(word.decode("ascii")) for word in words], dtype).tobytes()
    if len(values) < len(view):
        raise checks.damaged(path, f"it has {len(values)} of {len(view)} bytes of voxels")
    view[:] = values
    return extra
