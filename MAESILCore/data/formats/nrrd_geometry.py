"""The geometry of a NRRD header: the exact IJK-to-RAS matrix, with shear, and notes on assumptions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from MAESILCore.data.formats import geometry, units
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.data.formats.textheader import decimal, words

#: What turns a position in the named space into RAS; spaces without anatomy (scanner-xyz, ...) are not here.
_SIGNS_TO_RAS = {
    **dict.fromkeys(("right-anterior-superior", "ras", "rast"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las", "last"), (-1, 1, 1)),
    **dict.fromkeys(("left-posterior-superior", "lps", "lpst"), (-1, -1, 1)),
}
_NO_ORIGIN = "The header states no space origin: the position in space is a guess."
_TOKEN = re.compile(r'"([^"]*)"|(\S+)')
_VECTOR = re.compile(r"none|\(([^)]*)\)", re.IGNORECASE)

#: Values per axis, and notes about them.
_Noted = tuple[np.ndarray, tuple[str, ...]]


def ijk_to_ras_of(fields: Mapping[str, str], spatial: Sequence[int]) -> _Noted:
    """The (4, 4) IJK-to-RAS matrix in mm, and notes.

    Args:
        fields: the header's fields by their lower-case names without spaces.
        spatial: which of the file's axes are i, j and k.

    Raises:
        Unreadable: directions, spacings, origin or units cannot be read.
    """
    count = len(words(fields["sizes"]))
    directions = directions_of(fields, count)
    if directions is None:
        matrix, notes = _matrix_without_directions(fields, spatial, count)
    else:
        matrix, notes = _matrix_with_directions(
            fields, [directions[axis] for axis in spatial], spatial, count
        )
    if not np.isfinite(matrix).all():
        raise _bad_geometry()
    signs = _SIGNS_TO_RAS.get(fields.get("space", "").lower().removesuffix("-time"))
    if signs is None:
        note = "The header states no anatomical space: which side is left is a guess."
        return np.asarray(geometry.LPS_TO_RAS @ matrix), (*notes, note)
    if directions is None:
        notes = (
            *notes,
            "The header states no space directions: the axes were taken along those of its space.",
        )
    return np.diag([*signs, 1.0]) @ matrix, notes


def directions_of(fields: Mapping[str, str], count: int) -> list[list[float] | None] | None:
    """The direction of each axis, None for an axis without one; None if the header has no directions."""
    if "spacedirections" not in fields:
        return None
    text = fields["spacedirections"]
    vectors = [_vector(found) for found in _VECTOR.finditer(text)]
    if len(vectors) != count or _VECTOR.sub("", text).strip():
        raise _bad_geometry()
    return vectors


def _vector(found: re.Match[str]) -> list[float] | None:
    try:
        return None if found[1] is None else [decimal(part) for part in found[1].split(",")]
    except ValueError as error:
        raise _bad_geometry() from error


def _origin(fields: Mapping[str, str]) -> list[float] | None:
    found = _VECTOR.fullmatch(fields.get("spaceorigin", "(0,0,0)"))
    if found is None:
        raise _bad_geometry()
    return _vector(found)


def _bad_geometry() -> Unreadable:
    return Unreadable(
        "states space directions, spacings or an origin that are not three numbers each: correct the header."
    )


def _matrix_with_directions(
    fields: Mapping[str, str], directions: Sequence[list[float] | None], spatial: Sequence[int], count: int
) -> _Noted:
    """The (4, 4) matrix from voxel indices to mm in the file's own space, and notes."""
    columns = [*directions, _origin(fields)]
    if any(column is None or len(column) not in (3, 4) for column in columns):
        raise _bad_geometry()
    matrix = np.eye(4)
    matrix[:3] = np.array([(column or [])[:3] for column in columns]).T
    factors, notes = (
        _space_factors(fields) if "spaceunits" in fields else _axis_factors(fields, spatial, count)
    )
    matrix[:3] *= factors[:, None]
    return matrix, notes if "spaceorigin" in fields else (*notes, _NO_ORIGIN)


def _matrix_without_directions(fields: Mapping[str, str], spatial: Sequence[int], count: int) -> _Noted:
    """The same from spacings alone; the position is the space origin, as in ITK, else from the axis minima."""
    spacing, position, notes = _plain_geometry(fields, spatial, count)
    factors, unit_notes = _axis_factors(fields, spatial, count)
    position = position * factors
    origin = _origin(fields) if "spaceorigin" in fields else None
    if origin is not None and np.isfinite(origin).all():
        if len(origin) not in (3, 4):
            raise _bad_geometry()
        factors_of_origin, more_notes = _space_factors(fields) if "spaceunits" in fields else (factors, ())
        unit_notes = tuple(dict.fromkeys((*unit_notes, *more_notes)))
        position = np.array(origin[:3]) * factors_of_origin
    elif "space" in fields:
        notes = (*notes, _NO_ORIGIN)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.diag(spacing * factors), position
    return matrix, (*unit_notes, *notes)


def _space_factors(fields: Mapping[str, str]) -> _Noted:
    """Factors from the units of the three space axes to mm, and notes."""
    # Spaces such as "left-posterior-superior-time" have a fourth unit.
    return _factors(_tokens(fields["spaceunits"])[:3], range(3), 3)


def _axis_factors(fields: Mapping[str, str], spatial: Sequence[int], count: int) -> _Noted:
    """Factors from the units of the i, j and k axes to mm, and notes."""
    return _factors(_tokens(fields.get("units", "")), spatial, count)


def _factors(stated: Sequence[str], wanted: Sequence[int], count: int) -> _Noted:
    if not any(stated):
        return np.ones(len(wanted)), ()
    if len(stated) == count:
        return units.millimetres([stated[axis] for axis in wanted])
    if len(set(stated)) > 1:
        raise Unreadable(
            f"states units of {len(stated)} of {count} axes, and they differ: correct the header."
        )
    factors, notes = units.millimetres([stated[0]] * len(wanted))
    note = f'The header states units of {len(stated)} of {count} axes; "{stated[0]}" was taken for all.'
    return factors, (*notes, note)


def _tokens(text: str) -> list[str]:
    return [first or second for first, second in _TOKEN.findall(text)]


def _plain_geometry(
    fields: Mapping[str, str], spatial: Sequence[int], count: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Spacings (3,), the position (3,) from the axis minima, in the file's units, and a note on missing fields."""
    try:
        spacings, minima = (
            np.array([decimal(word) for word in words(fields.get(name, "nan " * count))])
            for name in ("spacings", "axismins")
        )
    except ValueError as error:
        raise _bad_geometry() from error
    if not len(spacings) == len(minima) == count:
        raise _bad_geometry()
    spacing, origin = spacings[list(spatial)], minima[list(spatial)]
    centerings = fields.get("centers", fields.get("centerings", "")).lower().split()
    is_cell = [len(centerings) != count or centerings[axis] != "node" for axis in spatial]
    # A minimum is the edge of the first voxel, unless its centre is called a node. A spacing that is not stated
    # is 1 mm, and then, or where a minimum is missing, no minimum counts.
    origin = origin + np.where(is_cell, spacing / 2, 0.0)
    origin = origin if np.isfinite(origin).all() and np.isfinite(spacing).all() else np.zeros(3)
    notes = ("The header does not state all spacings: 1 mm was taken.",) if np.isnan(spacing).any() else ()
    spacing = np.where(np.isnan(spacing), 1.0, spacing)
    if (spacing <= 0).any():
        raise _bad_geometry()
    return spacing, origin, notes
