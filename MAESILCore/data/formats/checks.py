"""Checks that all readers share."""

from __future__ import annotations

import numpy as np

from MAESILCore.data.formats.scan import Unreadable


def dimensions_text(shape: tuple[int, ...]) -> str:
    """A shape as text, such as "512 x 512 x 133"."""
    return " x ".join(str(int(length)) for length in shape)


def squeeze_to_3d(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The three spatial lengths of an (i, j, k, ...) shape, and a note if empty axes were dropped.

    Raises:
        Unreadable: there are several frames or components, or an axis is one voxel long.
    """
    text = dimensions_text(shape)
    if any(length > 1 for length in shape[3:]):
        raise Unreadable(
            f"has {int(np.prod(shape[3:]))} frames or components ({text}), but a single 3D volume is needed: "
            "save one frame as a separate file."
        )
    i, j, k = [int(length) for length in shape[:3]] + [1] * (3 - len(shape))
    refuse_flat((i, j, k))
    note = f"The file has {len(shape)} axes ({text}); the empty ones were dropped."
    return (i, j, k), (note,) if len(shape) > 3 else ()


def refuse_flat(shape: tuple[int, int, int]) -> None:
    """Reject images without depth.

    Raises:
        Unreadable: one axis (a single slice) or several (a line, a point) are one voxel long.
    """
    flat = sum(length <= 1 for length in shape)
    if flat == 1:
        raise Unreadable(
            f"has only one slice ({dimensions_text(shape)}): a 3D scan of at least two is needed."
        )
    if flat > 1:
        raise Unreadable(f"has the degenerate shape {dimensions_text(shape)}, not that of a 3D scan.")


def refuse_components(count: int) -> None:
    """Reject several values per voxel.

    Raises:
        Unreadable: the count is larger than 1.
    """
    if count > 1:
        raise Unreadable(
            f"holds {count} values per voxel (colours or vectors), but one is needed: save a single one."
        )


def refuse_pixel_kind(dtype: np.dtype) -> None:
    """Reject voxels that are no real numbers.

    Raises:
        Unreadable: the voxels are colours (structured) or complex.
    """
    if dtype.fields is not None:
        raise Unreadable("holds colours, but one number per voxel is needed: save a single channel.")
    if dtype.kind == "c":
        raise Unreadable("holds complex numbers, but real ones are needed: save their magnitude.")
    if dtype.kind not in "biuf":
        raise Unreadable(f"holds voxels of the type {dtype}, but real numbers are needed.")
