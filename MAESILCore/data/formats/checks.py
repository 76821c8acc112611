"""Checks and error messages that all readers share."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from MAESILCore.errors import VolumeError

_MOST_DATA_FILES = 100_000


def dimensions_text(shape: tuple[int, ...]) -> str:
    """A shape as text, such as "512 x 512 x 133"."""
    return " x ".join(str(int(length)) for length in shape)


def damaged(path: Path, reason: object) -> VolumeError:
    """The error for a file that is truncated or does not decode."""
    detail = " ".join(str(reason).split()).rstrip(".")
    message = f"{path.name} is cut short or damaged ({detail}): copy or export it again."
    return VolumeError(message)


def numbered_names(path: Path, pattern: str, first: str, last: str, step: str) -> list[str]:
    """The file names for a pattern such as "slice%03d.raw" and a range of numbers.

    Raises:
        VolumeError: the pattern does not have exactly one number, or the range is empty or infinite.
    """
    is_plain = len(re.findall(r"%0?\d*[di]", pattern)) == pattern.count("%") == 1
    numbers = (
        range(int(first), int(last) + (1 if int(step) > 0 else -1), int(step)) if int(step) else range(0)
    )
    if not is_plain or not 0 < len(numbers) <= _MOST_DATA_FILES:
        raise VolumeError(
            f"{path.name} names its data files by the pattern {pattern!r}, which gives no files."
        )
    return [pattern % number for number in numbers]


def squeeze_to_3d(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The three spatial lengths of an (i, j, k, ...) shape, and a note if empty axes were dropped.

    Raises:
        VolumeError: there are several frames or components, or an axis is one voxel long.
    """
    text = dimensions_text(shape)
    if any(length > 1 for length in shape[3:]):
        frames = int(np.prod(shape[3:]))
        message = (
            f"{path.name} has {frames} frames or components ({text}) and a single 3D volume is needed: "
            "save the wanted frame to a file of its own."
        )
        raise VolumeError(message)
    spatial = tuple(int(length) for length in shape[:3]) + (1,) * (3 - len(shape))
    refuse_flat(path, spatial)
    note = f"The file has {len(shape)} axes ({text}); the empty ones were dropped."
    notes = (note,) if len(shape) > 3 else ()
    return (spatial[0], spatial[1], spatial[2]), notes


def refuse_flat(path: Path, shape: tuple[int, ...]) -> None:
    """Reject images without depth.

    Raises:
        VolumeError: one axis (a single slice) or several (a line, a point) are one voxel long.
    """
    flat = sum(length <= 1 for length in shape)
    if flat == 1:
        text = dimensions_text(shape)
        message = f"{path.name} has only one slice ({text}): a 3D scan of at least two is needed."
        raise VolumeError(message)
    if flat > 1:
        message = f"{path.name} has the degenerate shape {dimensions_text(shape)}, not that of a 3D scan."
        raise VolumeError(message)


def refuse_pixel_kind(path: Path, dtype: np.dtype) -> None:
    """Reject voxels that are no real numbers.

    Raises:
        VolumeError: the voxels are colours (structured) or complex.
    """
    if dtype.fields is not None:
        message = f"{path.name} holds colours, and one number a voxel is needed: save a single channel of it."
        raise VolumeError(message)
    if dtype.kind == "c":
        message = f"{path.name} holds complex numbers, and real ones are needed: save their magnitude."
        raise VolumeError(message)
    if dtype.kind not in "biuf":
        raise VolumeError(f"{path.name} holds voxels of the type {dtype}, and real numbers are needed.")
