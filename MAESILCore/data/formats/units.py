"""Length units in headers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Millimetres of each unit, by its names in the singular. The micro sign (U+00B5) and the Greek letter mu (U+03BC) look
#: alike; a Latin-1 file has the byte B5 alone.
_NAMES = {
    1e6: ("km", "kilometer", "kilometre"),
    1e3: ("m", "meter", "metre"),
    1e2: ("dm", "decimeter", "decimetre"),
    1e1: ("cm", "centimeter", "centimetre"),
    1.0: ("mm", "millimeter", "millimetre"),
    1e-3: ("um", "\udcb5m", "\u00b5m", "\u03bcm", "micron", "micro", "micrometer", "micrometre"),
    1e-6: ("nm", "nanometer", "nanometre"),
    25.4: ("in", "inch", "inche"),
    304.8: ("ft", "foot", "feet"),
    0.0254: ("mil", "thou"),
}
_MILLIMETRES = {name: factor for factor, names in _NAMES.items() for name in names}


def millimetres(units: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Factors from these units to mm, one per axis, and notes.

    Unknown units count as mm, with a note; empty units count as mm.
    """
    factors = np.array([_MILLIMETRES.get(_singular(unit), 1.0) for unit in units])
    notes = []
    converted = sorted({unit.strip() for unit, factor in zip(units, factors, strict=True) if factor != 1.0})
    if converted:
        notes.append(f"The file gives lengths in the unit {', '.join(converted)}; they were turned into mm.")
    unknown = sorted({unit.strip() for unit in units if _singular(unit) not in ("", *_MILLIMETRES)})
    if unknown:
        names = ", ".join(f'"{unit}"' for unit in unknown)
        notes.append(f"The file gives lengths in the unknown unit {names}; they were taken as mm.")
    return factors, tuple(notes)


def _singular(unit: str) -> str:
    name = unit.strip().lower().rstrip(".")
    return name[:-1] if len(name) > 3 and name.endswith("s") else name
