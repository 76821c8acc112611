"""The NRRD header as text, because readers differ in what they keep of its geometry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

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
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001, "μm": 0.001}
_DATA_FILE = ("data file", "datafile")
_QUOTED = re.compile(r'"([^"]*)"')
_VECTOR = re.compile(r"\(([^)]*)\)")


def read_fields(path: Path) -> dict[str, str]:
    """The fields of an NRRD header by their lower-case names; comments and key/value pairs are left out.

    Raises:
        VolumeError: If the file does not begin as NRRD.
    """
    return dict(_stated(path))


def detached_files(path: Path, fields: dict[str, str]) -> list[Path]:
    """The single data file that a detached header names, [] for attached data, lists and patterns."""
    name = next((fields[name] for name in _DATA_FILE if name in fields), "")
    is_single = name and "%" not in name and not name.upper().startswith("LIST")
    return [path.parent / name] if is_single else []


def named_data(path: Path) -> list[str]:
    """All that a header names as its data, as it writes them, also where it does so more than once.

    Raises:
        VolumeError: If the file does not begin as NRRD.
    """
    return [value for name, value in _stated(path) if name in _DATA_FILE]


def _stated(path: Path) -> Iterator[tuple[str, str]]:
    """Lower-case name and value of each field, in the file's order; some readers end a line at a lone return, too."""
    with path.open("rb") as file:
        if not file.readline(16).startswith(b"NRRD"):
            raise VolumeError(f"{path.name} is not a NRRD file: it does not begin with the NRRD mark.")
        for raw in file:
            text = raw.decode("utf-8", errors="replace").strip()
            if not text:
                break
            for line in text.split("\r"):
                name, separator, value = line.partition(": ")
                if separator and not line.startswith("#"):
                    yield name.strip().lower(), value.strip()


def ijk_to_ras(path: Path, fields: dict[str, str]) -> np.ndarray | None:
    """The (4, 4) matrix in mm that the header states, shear included; None if it states no anatomical space.

    Raises:
        VolumeError: If the directions or the origin are not numbers.
    """
    signs = _SIGNS_TO_RAS.get(fields.get("space", "").lower())
    vectors = _VECTOR.findall(fields.get("space directions", ""))
    if signs is None or len(vectors) != 3:
        return None
    origin = _VECTOR.findall(fields.get("space origin", "(0,0,0)"))
    try:
        columns = np.array([[float(part) for part in vector.split(",")] for vector in [*vectors, *origin]]).T
    except ValueError as error:
        raise VolumeError(
            f"{path.name} states space directions or an origin that are not numbers."
        ) from error
    if columns.shape != (3, 4):
        raise VolumeError(f"{path.name} states space directions or an origin that are not three-dimensional.")
    matrix = np.eye(4)
    matrix[:3] = columns * np.array(signs)[:, None] * _scales(fields)[:, None]
    return matrix


def _scales(fields: dict[str, str]) -> np.ndarray:
    """What turns the three space axes into mm."""
    units = [unit.strip().lower() for unit in _QUOTED.findall(fields.get("space units", ""))]
    return np.array([_MILLIMETRES.get(unit, 1.0) for unit in units] if len(units) == 3 else [1.0, 1.0, 1.0])
