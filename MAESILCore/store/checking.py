"""Verifies the checksums of a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from MAESILCore.store import tables
from MAESILCore.store.content import hash_of_files
from MAESILCore.store.index import Index, Scan
from MAESILCore.store.layout import INDEX, METADATA, METADATA_FILES, SCANS
from MAESILCore.store.opened import read_description
from MAESILCore.store.reader import DamagedScanError, ScanReader
from MAESILCore.store.workers import in_parallel


def check(
    store: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int, str], None] = lambda done, total, message: None,
) -> tuple[int, list[str]]:
    """Verify the checksums of all chunks and of the index.

    Args:
        store: the store, which is not changed.
        jobs: processes.
        progress: called with the bytes of voxels that are done, all bytes, and a message.

    Returns:
        The number of scans, and a sentence for each damage.

    Raises:
        ConfigError: the folder is no store.
        OSError: a file cannot be read.
    """
    description = read_description(store)
    index = Index(store)
    damages = [f"{INDEX}: line {number} is damaged" for number in index.damaged]
    damages += [
        f"{name} is damaged" for name in (METADATA, f"{SCANS}/{METADATA}") if not _is_group(store / name)
    ]
    scans = index.scans()
    total, done = sum(scan.bytes for _, scan in scans), 0
    results = in_parallel(check_scan, [(store, file, scan) for file, scan in scans], jobs=jobs)
    for number, ((_, scan), damage) in enumerate(zip(scans, results, strict=True), start=1):
        damages += [damage] if damage else []
        done += scan.bytes
        progress(done, total, f"{number} of {len(scans)} scans")
    try:
        expected = tables.contents(store, index, description["settings"])
    except (OSError, ValueError, KeyError, TypeError):  # a damage that is reported already
        return len(scans), damages
    if not index.damaged:
        damages += [
            f"{name} does not fit the index: it is damaged, or maesil prepare was killed"
            for name, text in expected.items()
            if _text(store / name) != text
        ]
    return len(scans), damages


def check_scan(store: Path, file: str, scan: Scan) -> str:
    """A sentence about the damage of a scan; "" if there is none."""
    folder = store / SCANS / scan.identity
    try:
        if hash_of_files(folder, METADATA_FILES) != scan.metadata:
            return f"{file} ({SCANS}/{scan.identity}): a file {METADATA} is damaged"
        ScanReader(folder, scan.shape, file).verify()
    except OSError as error:
        return f"{file} ({SCANS}/{scan.identity}): {error.strerror or error}"
    except DamagedScanError as error:
        return f"{file} ({SCANS}/{scan.identity}): {error.reason}"
    return ""


def _is_group(path: Path) -> bool:
    try:
        content = json.loads(_text(path))
    except ValueError:
        return False
    return bool(content == {"attributes": {}, "zarr_format": 3, "node_type": "group"})


def _text(path: Path) -> str:
    """The text of a file; "" if it is missing or damaged."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
