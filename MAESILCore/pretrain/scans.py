"""Which scans a run trains on: told apart from the held-out ones, and known again when it is resumed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from MAESILCore.errors import ConfigError
from MAESILCore.formats.checks import dimensions_text
from MAESILCore.formats.names import with_name

#: Names in a sentence; more are counted.
_NAMED = 3


def split(scans: Sequence[Path], hold_out: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The scans to train on and those kept for validation.

    Args:
        scans: files and DICOM folders.
        hold_out: glob patterns of the names that are kept.

    Raises:
        ConfigError: there are scans, and all are kept.
    """
    held_out = [scan for scan in scans if any(scan.match(pattern) for pattern in hold_out)]
    training = [scan for scan in scans if scan not in held_out]
    if held_out and not training:
        message = (
            f"hold_out ({', '.join(hold_out)}) keeps all {len(scans)} scans for validation and leaves none to "
            "train on; choose patterns that match fewer of them."
        )
        raise ConfigError(message)
    return training, held_out


def left_out_sentence(left_out: Sequence[tuple[Path, str]], scans: int) -> str:
    """How many of the scans are not used, and the first of them with the reasons."""
    named = "; ".join(with_name(path.name, reason).rstrip(".") for path, reason in left_out[:_NAMED])
    more = f"; and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    return f"left out {len(left_out)} of {scans} scans ({named}{more}); events.jsonl names all"


def inventory(paths: Sequence[Path], shapes: Sequence[tuple[int, ...]]) -> str:
    """The scans in the order that samples are drawn in, as JSON: [file name, [k, j, i]] each."""
    lines = (json.dumps([path.name, shape]) for path, shape in zip(paths, shapes, strict=True))
    return "[" + ",\n ".join(lines) + "]\n"


def check_same(before: str, now: str) -> None:
    """Compare two inventories.

    Raises:
        ConfigError: they differ, and a run on one cannot take the steps that it would have taken on the other.
    """
    was, is_now = ([_described(name, shape) for name, shape in json.loads(text)] for text in (before, now))
    if was == is_now:
        return
    changes = []
    for change, scans in (
        ("missing", Counter(was) - Counter(is_now)),
        ("new", Counter(is_now) - Counter(was)),
    ):
        if scans:
            named = list(scans.elements())
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            changes.append(f"{change}: {', '.join(named[:_NAMED])}{more}")
    message = (
        f"These are not the scans that the run began with ({'; '.join(changes) or 'their order is another'}). "
        "Resume it with the same ones, or start a new run that takes over its weights with --initial."
    )
    raise ConfigError(message)


def _described(name: str, shape: Sequence[int]) -> str:
    return f"{name} ({dimensions_text(tuple(shape))})"
