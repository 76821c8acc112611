"""The geometry of a NRRD header: the exact IJK-to-RAS matrix, with shear, and notes on assumptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import geometry, units
from MAESILCore.data.formats.plainnumbers import decimal, words
from MAESILCore.errors import VolumeError

#: What turns a position in the named space into RAS; spaces without anatomy (scanner-xyz, ...) are not here.
_SIGNS_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "ras": (1, 1, 1),
    "las": (-1, 1, 1),
    "lps": (-1, -1, 1),
}
_NO_ORIGIN = "The header states no space origin: the position in space is a guess."
_TOKEN = re.compile(r'"([^"]*)"|(\S+)')
_VECTOR = re.compile(r"none|\(([^)]*)\)", re.IGNORECASE)


def ijk_to_ras_of(
    path: Path, fields: dict[str, str], spatial: Sequence[int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The (4, 4) IJK-to-RAS matrix in mm, and notes.

    Args:
        path: the file for error messages.
        fields: the header's fields by their lower-case names without spaces.
        spatial: which of the file's axes are i, j and k.

    Raises:
        VolumeError: directions, spacings, origin or units cannot be read.
    """
    count = len(words(fields["sizes"]))
    directions = directions_of(path, fields, count)
    if directions is None:
        matrix, notes = _matrix_without_directions(path, fields, spatial, count)
    else:
        matrix, notes = _matrix_with_directions(path, fields, [directions[axis] for axis in spatial], spatial)
    if not np.isfinite(matrix).all():
        raise _bad_geometry(path)
    space = fields.get("space", "").lower().removesuffix("-time")
    signs = _SIGNS_TO_RAS.get(space if not re.fullmatch(r"(ras|las|lps)t", space) else space[:3])
    if signs is None:
        note = "The header states no anatomical space: which side is left is a guess."
        return np.asarray(geometry.LPS_TO_RAS @ matrix), (*notes, note)
    if directions is None:
        note = "The header states no space directions: the axes were taken along those of its space."
        notes = (*notes, note)
    return np.diag([*signs, 1.0]) @ matrix, notes


def directions_of(path: Path, fields: dict[str, str], count: int) -> list[list[float] | None] | None:
    """The direction of each axis, None for an axis without one; None if the header has no directions."""
    if "spacedirections" not in fields:
        return None
    text = fields["spacedirections"]
    vectors = [_vector(path, token.group(1)) for token in _VECTOR.finditer(text)]
    if len(vectors) != count or _VECTOR.sub("", text).strip():
        raise _bad_geometry(path)
    return vectors


def _vector(path: Path, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [decimal(part) for part in text.split(",")]
    except ValueError as error:
        raise _bad_geometry(path) from error


def _origin(path: Path, fields: dict[str, str]) -> list[float] | None:
    found = _VECTOR.fullmatch(fields.get("spaceorigin", "(0,0,0)"))
    if found is None:
        raise _bad_geometry(path)
    return _vector(path, found[1])


def _bad_geometry(path: Path) -> VolumeError:
    return VolumeError(
        f"{path.name} states space directions, spacings or an origin that are not three numbers each."
    )


def _matrix_with_directions(
    path: Path, fields: dict[str, str], directions: Sequence[list[float] | None], spatial: Sequence[int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The (4, 4) matrix from voxel indices to mm in the file's own space, and notes."""
    columns = [*directions, _origin(path, fields)]
    if any(column is None or len(column) not in (3, 4) for column in columns):
        raise _bad_geometry(path)
    matrix = np.eye(4)
    matrix[:3] = np.array([(column or [])[:3] for column in columns]).T
    if "spaceunits" in fields:
        factors, notes = _space_factors(path, fields)
    else:
        factors, notes = _axis_factors(path, fields, spatial)
    matrix[:3] *= factors[:, None]
    if "spaceorigin" not in fields:
        notes = (*notes, _NO_ORIGIN)
    return matrix, notes


def _matrix_without_directions(
    path: Path, fields: dict[str, str], spatial: Sequence[int], count: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The same from spacings alone; the position is the space origin, as in ITK, else from the axis minima."""
    spacing, position, notes = _plain_geometry(path, fields, spatial, count)
    factors, unit_notes = _axis_factors(path, fields, spatial)
    position = position * factors
    origin = _origin(path, fields) if "spaceorigin" in fields else None
    if origin is not None and np.isfinite(origin).all():
        if len(origin) not in (3, 4):
            raise _bad_geometry(path)
        if "spaceunits" in fields:
            factors_of_origin, more_notes = _space_factors(path, fields)
            unit_notes = tuple(dict.fromkeys((*unit_notes, *more_notes)))
        else:
            factors_of_origin = factors
        position = np.array(origin[:3]) * factors_of_origin
    elif "space" in fields:
        notes = (*notes, _NO_ORIGIN)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.diag(spacing * factors), position
    return matrix, (*unit_notes, *notes)


def _space_factors(path: Path, fields: dict[str, str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Factors from the units of the three space axes to mm, and notes."""
    stated = _tokens(fields["spaceunits"])
    # Spaces such as "left-posterior-superior-time" have a fourth unit.
    return _factors(path, stated[:3], range(3), 3)


def _axis_factors(
    path: Path, fields: dict[str, str], spatial: Sequence[int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Factors from the units of the i, j and k axes to mm, and notes."""
    return _factors(path, _tokens(fields.get("units", "")), spatial, len(words(fields["sizes"])))


def _factors(
    path: Path, stated: Sequence[str], wanted: Sequence[int], count: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    if not any(stated):
        return np.ones(len(wanted)), ()
    if len(stated) == count:
        return units.millimetres([stated[axis] for axis in wanted])
    if len(set(stated)) > 1:
        raise VolumeError(
            f"{path.name} states units of {len(stated)} of {count} axes, and they differ: correct the header."
        )
    factors, notes = units.millimetres([stated[0]] * len(wanted))
    note = f'The header states units of {len(stated)} of {count} axes; "{stated[0]}" was taken for all.'
    return factors, (*notes, note)


def _tokens(text: str) -> list[str]:
    return [first or second for first, second in _TOKEN.findall(text)]


def _plain_geometry(
    path: Path, fields: dict[str, str], spatial: Sequence[int], count: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Spacings (3,), the position (3,) from the axis minima, in the file's units, and a note on missing fields."""
    try:
        spacings = [decimal(part) for part in words(fields.get("spacings", "nan " * count))]
        minima = [decimal(part) for part in words(fields.get("axismins", "nan " * count))]
        if not len(spacings) == len(minima) == count:
            raise ValueError
        spacing = np.array([spacings[axis] for axis in spatial])
        origin = np.array([minima[axis] for axis in spatial])
    except ValueError as error:
        raise _bad_geometry(path) from error
    centerings = fields.get("centers", fields.get("centerings", "")).lower().split()
    is_cell = [len(centerings) != count or centerings[axis] != "node" for axis in spatial]
    # A minimum is the edge of the first voxel, unless its centre is called a node. A spacing that is not stated
    # is 1 mm, and then, or where a minimum is missing, no minimum counts.
    origin = origin + np.where(is_cell, spacing / 2, 0.0)
    origin = origin if np.isfinite(origin).all() and np.isfinite(spacing).all() else np.zeros(3)
    notes = ("The header does not state all spacings: 1 mm was taken.",) if np.isnan(spacing).any() else ()
    spacing = np.where(np.isnan(spacing), 1.0, spacing)
    if (spacing <= 0).any():
        raise _bad_geometry(path)
    return spacing, origin, notes
