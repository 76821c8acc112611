"""The files of a store that follow from its index: `store.json`, `scans.csv` and `quarantine.csv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.formats.geometry import spacing_of
from MAESILCore.files import write_whole
from MAESILCore.store import statistics
from MAESILCore.store.index import Index
from MAESILCore.store.layout import (
    BODY_HU,
    CHUNK,
    METADATA,
    QUARANTINE_TABLE,
    RESAMPLING,
    SCANS,
    SCANS_TABLE,
    STORE,
    VERSION,
    is_hu,
    sync,
)


def contents(folder: Path, index: Index, settings: Mapping[str, Any]) -> dict[str, str]:
    """The text of each table, by file name.

    Args:
        folder: the store.
        index: its index.
        settings: see `settings_of`.

    Raises:
        OSError: the attributes of a scan cannot be read.
        ValueError: the attributes of a scan are damaged.
    """
    each = [
        json.loads((folder / SCANS / scan.identity / METADATA).read_text(encoding="utf-8"))["attributes"][
            "body"
        ]
        for _, scan in index.scans()
    ]
    return {
        SCANS_TABLE: _scans_table(index, "_hu" if is_hu(settings) else ""),
        QUARANTINE_TABLE: _quarantine_table(index),
        STORE: description(settings, each),
    }


def settings_of(spacing: Sequence[float] | None, without_hu: bool = False) -> dict[str, Any]:
    """The settings of a new store, as fields of JSON.

    Args:
        spacing: mm along i, j, k of resampled scans; None for scans as they are.
        without_hu: whether it is for scans without HU.
    """
    resampled = {} if spacing is None else {"resampling": RESAMPLING}
    return {
        "spacing_mm_ijk": None if spacing is None else list(spacing),
        **resampled,
        "chunk_voxels": CHUNK,
        **({"unit": ""} if without_hu else {"body_above_hu": BODY_HU}),
    }


def description(settings: Mapping[str, Any], scans: Iterable[Mapping[str, Any]]) -> str:
    """The text of `store.json`; `scans` are the statistics of each."""
    hu = is_hu(settings)
    body = statistics.of_store(scans) if hu else statistics.of_values_in_store(scans)
    version = 1 if hu else VERSION
    content = {"format": "maesil-store", "version": version, "settings": dict(settings), "body": body}
    return json.dumps(content, indent=1) + "\n"


def write(folder: Path, texts: dict[str, str]) -> None:
    """Write tables, each atomically.

    Raises:
        OSError: one cannot be written.
    """
    for name, text in texts.items():
        with write_whole(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="")
            sync(unfinished)


def _scans_table(index: Index, unit: str) -> str:
    rows = []
    for file, scan in index.scans():
        i, j, k = (f"{edge:g}" for edge in spacing_of(np.array(scan.ijk_to_ras)))
        figures = [f"{scan.body:.4f}", f"{scan.mean:.1f}", f"{scan.std:.1f}"]
        rows.append([file, scan.identity, *map(str, scan.shape), k, j, i, *figures])
    heads = ["file", "id", "k", "j", "i", "mm_k", "mm_j", "mm_i", "body_share"]
    return _table([*heads, f"body_mean{unit}", f"body_std{unit}"], rows)


def _quarantine_table(index: Index) -> str:
    others = [entry for entry in index.entries() if entry.scan is None]
    return _table(
        ["file", "state", "reason"], [[entry.source.file, entry.state, entry.reason] for entry in others]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    return text.getvalue()
