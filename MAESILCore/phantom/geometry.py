"""Grids to look at the phantom with."""

from __future__ import annotations

import numpy as np

from MAESILCore.errors import ConfigError

#: What a default grid covers, i, j, k in mm: chest and upper abdomen.
FIELD_OF_VIEW = (390.0, 390.0, 352.0)
#: The middle of that, RAS mm.
CENTRE = (0.0, -8.0, 6.0)
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def phantom_geometry(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] | None = None,
    orientation: str = "LPS",
    oblique: float = 0.0,
) -> np.ndarray:
    """The IJK-to-RAS matrix (4, 4) of a grid whose middle is the middle of the phantom.

    Args:
        shape: Voxels along k, j, i.
        spacing: Voxel size along i, j, k in mm; None fits chest and upper abdomen into the shape.
        orientation: Where i, j and k grow towards: three letters of R L, A P, S I, one of each pair.
        oblique: Angle in degrees by which the grid is turned about the axis (1, 1, 1).

    Raises:
        ConfigError: A shape, orientation or spacing that does not exist.
    """
    check_shape(shape)
    axes = _axes(orientation)
    sizes = np.array(shape[::-1], dtype=np.float64)
    if spacing is None:
        field = [FIELD_OF_VIEW[int(np.argmax(np.abs(axes[:, column])))] for column in range(3)]
        spacing = (field[0] / sizes[0], field[1] / sizes[1], field[2] / sizes[2])
    if min(spacing) <= 0 or not np.all(np.isfinite(spacing)):
        sizes_text = " x ".join(f"{size:g}" for size in spacing)
        message = f"Each voxel size must be above 0 mm, but the spacing is {sizes_text}."
        raise ConfigError(message)
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(oblique) @ axes * np.array(spacing)
    matrix[:3, 3] = np.array(CENTRE) - matrix[:3, :3] @ ((sizes - 1) / 2)
    return matrix


def check_shape(shape: tuple[int, int, int]) -> None:
    """See that a grid of this shape has voxels.

    Raises:
        ConfigError: It has none.
    """
    if len(shape) != 3 or min(shape) < 1:
        message = f"A phantom needs three sizes (k, j, i) of at least 1, but the shape is {tuple(shape)}."
        raise ConfigError(message)


def _axes(orientation: str) -> np.ndarray:
    letters = orientation.upper()
    rows = [_DIRECTIONS[letter][0] for letter in letters if letter in _DIRECTIONS]
    if len(letters) != 3 or sorted(rows) != [0, 1, 2]:
        message = (
            f"The orientation {orientation!r} does not exist; give three letters, one of R or L, "
            "one of A or P and one of S or I, such as LPS."
        )
        raise ConfigError(message)
    axes = np.zeros((3, 3))
    for column, letter in enumerate(letters):
        row, sign = _DIRECTIONS[letter]
        axes[row, column] = sign
    return axes


def _rotation(degrees: float) -> np.ndarray:
    """Rotation about (1, 1, 1), by Rodrigues' formula."""
    if degrees == 0:
        return np.eye(3)
    angle = np.radians(degrees)
    cross = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))
