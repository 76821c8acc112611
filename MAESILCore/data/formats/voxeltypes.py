"""Voxel types: the smallest type that stores values exactly."""

from __future__ import annotations

import numpy as np

from MAESILCore.errors import VolumeError


def rescale(stored: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> np.ndarray:
    """Apply slope and intercept.

    Integers stay integers if slope and intercept are whole numbers; otherwise the result is float32.

    Args:
        stored: any shape, real.
        slope: factor.
        intercept: summand.
    """
    if stored.dtype.kind in "biu":
        if (slope, intercept) == (1.0, 0.0):
            return to_native(stored)
        if slope.is_integer() and intercept.is_integer():
            ends = [int(end) * int(slope) + int(intercept) for end in (stored.min(), stored.max())]
            # Slope and intercept must fit, too; intermediate overflows wrap back, as the results fit.
            dtype = _smallest_integer(np.array([*ends, int(slope), int(intercept)]))
            if dtype is not None:
                return _scaled(stored, np.dtype(dtype), slope, intercept)
    return _scaled(stored, np.dtype(np.float32), slope, intercept)


def _scaled(stored: np.ndarray, dtype: np.dtype, slope: float, intercept: float) -> np.ndarray:
    # Overflows become infinite, which is reported later.
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(dtype, order="K", copy=(slope, intercept) != (1.0, 0.0))
        if slope != 1:
            values *= dtype.type(slope)
        if intercept != 0:
            values += dtype.type(intercept)
    return values


def to_native(array: np.ndarray) -> np.ndarray:
    """Convert to native byte order."""
    return array.astype(array.dtype.newbyteorder("="), order="K", copy=False)


def fits_int16(dtype: np.dtype, low: float, high: float) -> bool:
    """Whether voxels of a type, between two values, are whole numbers that int16 holds."""
    limits = np.iinfo(np.int16)
    return dtype.kind in "biu" and low >= limits.min and high <= limits.max


def rounded(values: np.ndarray) -> np.ndarray:
    """A copy as int16, (k, j, i): the nearest whole numbers, cut off at the limits; one plane at a time."""
    limits = np.iinfo(np.int16)
    whole = np.empty(values.shape, dtype=np.int16)
    for target, plane in zip(whole, values, strict=True):
        target[...] = np.clip(np.rint(plane), limits.min, limits.max)
    return whole


def narrowed(values: np.ndarray) -> np.ndarray:
    """A copy: integers wider than a byte become int16 if that is exact, else int32; floats float32."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.itemsize == 1:
        return values.copy()
    return values.astype(_smallest_integer(values) or np.float32)


def fill_not_finite(voxels: np.ndarray) -> tuple[np.ndarray, str]:
    """Replace NaN and infinite voxels by the lowest finite one.

    Returns:
        The voxels (changed in place if possible) and a note, "" if all were finite.

    Raises:
        VolumeError: no voxel is finite.
    """
    if voxels.dtype.kind != "f":
        return voxels, ""
    finite = np.isfinite(voxels)
    count = voxels.size - int(np.count_nonzero(finite))
    if count == 0:
        return voxels, ""
    if count == voxels.size:
        raise VolumeError("no voxel is a finite number.")
    lowest = voxels.min(where=finite, initial=np.finfo(voxels.dtype).max)
    voxels = voxels if voxels.flags.writeable else voxels.copy(order="K")
    voxels[~finite] = lowest
    return voxels, f"{count} voxels are NaN or infinite and were set to the lowest value, {lowest:g}."


def storable(voxels: np.ndarray) -> np.ndarray:
    """The same values in a type that NIfTI, NRRD and MetaImage share.

    bool becomes uint8, float16 float32; 64-bit integers become int16, int32 or float64.
    """
    kind, size = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "b":
        return voxels.astype(np.uint8)
    if kind == "f" and size not in (4, 8):
        return voxels.astype(np.float32 if size < 4 else np.float64)
    if kind in "iu" and size == 8:
        return voxels.astype(_smallest_integer(voxels) or np.float64)
    return to_native(voxels)


def _smallest_integer(values: np.ndarray) -> type[np.signedinteger] | None:
    low, high = int(values.min()), int(values.max())
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return None


def count_whole_numbers(voxels: np.ndarray, most: int) -> int | None:
    """The number of distinct values; None if one is no whole number or there are more than `most`.

    Args:
        voxels: (k, j, i), none negative, below 65536.
        most: maximum count.
    """
    is_present = np.zeros(np.iinfo(np.uint16).max + 1, dtype=bool)
    for plane in voxels:
        whole = plane.astype(np.uint16)
        if plane.dtype.kind == "f" and not np.array_equal(whole, plane):
            return None
        is_present[whole] = True
        if np.count_nonzero(is_present) > most:
            return None
    return int(np.count_nonzero(is_present))


def share_of_equal_neighbours(voxels: np.ndarray) -> float:
    """Share of equal neighbours along i, among pairs with a voxel above the lowest value."""
    lowest, pairs, equal = voxels.min(), 0, 0
    for plane in voxels:
        left, right = plane[:, :-1], plane[:, 1:]
        is_foreground = (left != lowest) | (right != lowest)
        pairs += int(np.count_nonzero(is_foreground))
        equal += int(np.count_nonzero((left == right) & is_foreground))
    return equal / max(pairs, 1)
