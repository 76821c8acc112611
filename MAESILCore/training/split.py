"""Splits scans into training and held-out ones, and compares them when a run is resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.formats.found import FoundScan, check_patterns, listed
from MAESILCore.errors import ConfigError

#: Name and (k, j, i) shape of a scan in an inventory, and the hash of its content in a store, "" for a file.
_Line = tuple[str, tuple[int, ...], str]


def split(
    scans: Sequence[FoundScan], hold_out: Sequence[str], before: str | None = None
) -> tuple[list[FoundScan], list[FoundScan]]:
    """The scans to train on and those kept for validation.

    Args:
        scans: files and DICOM folders.
        hold_out: glob patterns of the held-out scans; see `FoundScan.fits`.
        before: the inventory of a resumed run; None for a new run. A resumed run matches patterns as it did at first
            and accepts a pattern without matches.

    Raises:
        ConfigError: a pattern of a new run matches nothing, or all scans are held out.
    """
    if before is None:
        check_patterns(scans, hold_out, "hold_out")
    held_out = [scan for scan in scans if any(scan.fits(pattern) for pattern in hold_out)]
    if before is not None and _matched_file_names(scans, held_out, before):
        held_out = [scan for scan in scans if any(scan.path.match(pattern) for pattern in hold_out)]
    training = [scan for scan in scans if scan not in held_out]
    if held_out and not training:
        kept = "the only scan" if len(scans) == 1 else f"all {len(scans)} scans"
        message = (
            f"hold_out ({', '.join(hold_out)}) keeps {kept} for validation and leaves none to train on: choose "
            "patterns that match fewer scans, or add scans."
        )
        raise ConfigError(message)
    return training, held_out


def _matched_file_names(scans: Sequence[FoundScan], held_out: Sequence[FoundScan], before: str) -> bool:
    """Whether a run is so old that it matched patterns with file names alone: it trained on a held-out scan."""
    names = {name for name, *_ in _lines(before)}
    if names <= {scan.file for scan in scans if scan not in held_out}:
        return False
    return any(_is_same_name(name, scan.file) for scan in held_out for name in names)


def inventory(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], contents: Sequence[str] | None = None
) -> str:
    """The scans, in the order used for drawing, as JSON: [name, [k, j, i]] each.

    The scans of a store have a third field, the hash of their content.
    """
    columns: list[Sequence[object]] = [names, shapes, *([contents] if contents is not None else [])]
    return "[" + ",\n ".join(map(json.dumps, zip(*columns, strict=True))) + "]\n"


def check_same(before: str, now: str) -> None:
    """Compare two inventories.

    Two scans are the same if their shapes and contents are equal and one name ends with the other: the folder may have
    moved, and old runs stored file names alone.

    Raises:
        ConfigError: the inventories differ, so that resuming could not be exact, or one is damaged.
    """
    was, is_now = _lines(before), _lines(now)
    if len(was) == len(is_now) and all(map(_is_same, was, is_now)):
        return
    changes = "; ".join(
        f"{change}: {listed([f'{name} ({dimensions_text(shape)})' for name, shape, _ in scans])}"
        for change, scans in (("missing", _without(was, is_now)), ("new", _without(is_now, was)))
        if scans
    )
    message = (
        f"These are not the scans that the run began with ({changes or 'their order differs'}). "
        "Resume it with the same scans, or start a new run from its weights with --initial."
    )
    raise ConfigError(message)


def _lines(text: str) -> list[_Line]:
    try:
        return [(str(name), tuple(shape), *(content or [""])) for name, shape, *content in json.loads(text)]
    except (ValueError, TypeError) as error:
        message = (
            "The file scans.json of the run is damaged: restore it, or start a new run from its weights with"
        )
        raise ConfigError(f"{message} --initial.") from error


def _is_same(one: _Line, other: _Line) -> bool:
    return one[1:] == other[1:] and _is_same_name(one[0], other[0])


def _is_same_name(one: str, other: str) -> bool:
    short, long = sorted((one.split("/"), other.split("/")), key=len)
    return long[-len(short) :] == short


def _without(scans: Sequence[_Line], others: Sequence[_Line]) -> list[_Line]:
    """The scans that are not among the others, which match one scan each."""
    left = list(others)
    missing = []
    for scan in scans:
        same = next((other for other in left if _is_same(scan, other)), None)
        if same is None:
            missing.append(scan)
        else:
            left.remove(same)
    return missing
