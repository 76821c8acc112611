"""Compare two records: `python -m Testing.Golden.compare OLD NEW`; exit code 1 if anything differs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: HU from the lowest to the highest value of the model's window, for PSNR.
_WINDOW_HU = 2000.0


@dataclass(frozen=True)
class Difference:
    """One item that differs.

    Attributes:
        case: name of the case.
        item: name of the item.
        how: in which way.
    """

    case: str
    item: str
    how: str


def compare(old: Path, new: Path) -> tuple[int, list[Difference]]:
    """The number of items and those that differ, of two folders that `record.py` wrote."""
    before, after = (
        json.loads((folder / "golden.json").read_text(encoding="utf-8")) for folder in (old, new)
    )
    count, differences = 0, []
    for case in dict.fromkeys([*before, *after]):
        if case not in before or case not in after:
            differences.append(Difference(case, "", "new" if case not in before else "missing"))
            continue
        count += len(before[case]["items"].keys() | after[case]["items"].keys())
        differences += _of_case(case, old, before[case], new, after[case])
    return count, differences


def _of_case(
    case: str, old: Path, before: dict[str, Any], new: Path, after: dict[str, Any]
) -> Iterator[Difference]:
    for item in dict.fromkeys([*before["items"], *after["items"]]):
        if item not in before["items"] or item not in after["items"]:
            yield Difference(case, item, "new" if item not in before["items"] else "missing")
        elif before["items"][item] != after["items"][item]:
            arrays = _array(old, before, item), _array(new, after, item)
            if arrays[0] is None or arrays[1] is None:
                how = _of_values(before["items"][item], after["items"][item])
            else:
                how = _of_arrays(arrays[0], arrays[1])
            yield Difference(case, item, how)


def _array(folder: Path, case: dict[str, Any], item: str) -> np.ndarray | None:
    if case["file"] is None:
        return None
    with np.load(folder / case["file"]) as arrays:
        return arrays.get(item)


def _of_arrays(before: np.ndarray, after: np.ndarray) -> str:
    """Largest difference (HU for volumes in HU) and, for volumes, the PSNR of one against the other."""
    if before.shape != after.shape:
        return f"shape {before.shape} became {after.shape}"
    if np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
        return f"same values, {before.dtype} became {after.dtype}"
    difference = np.abs(after.astype(np.float64) - before.astype(np.float64))
    text = f"max |difference| {difference.max():.6g}, in {np.count_nonzero(difference)} of {difference.size} values"
    if before.ndim == 3:
        text += f", PSNR {10 * np.log10(_WINDOW_HU**2 / np.mean(difference**2)):.2f} dB"
    return text


def _of_values(before: Any, after: Any) -> str:  # noqa: ANN401 - any JSON
    """The places where JSON differs, the first three of them with their values."""
    found = list(_differing(before, after, ""))
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _differing(before: Any, after: Any, place: str) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        before, after = before.splitlines(), after.splitlines()
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            if key not in before or key not in after:
                yield f"{place}/{key} is {'new' if key not in before else 'missing'}"
            else:
                yield from _differing(before[key], after[key], f"{place}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differing(one, other, f"{place}/{index}")
    elif before != after:
        yield f"{place} {_short(before)} became {_short(after)}".strip()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def main() -> int:
    """Print a table; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, help="folder of the earlier record")
    parser.add_argument("new", type=Path, help="folder of the later record")
    options = parser.parse_args()
    count, differences = compare(options.old, options.new)
    cases = json.loads((options.old / "golden.json").read_text(encoding="utf-8"))
    for case in dict.fromkeys([*cases, *(one.case for one in differences)]):
        of_case = [one for one in differences if one.case == case]
        if not of_case:
            print(f"{case:45} identical")
        for one in of_case:
            print(f"{case:45} {one.item}: {one.how}")
    print(f"{count} items compared, {len(differences)} differences.")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
