"""The scans of a table, read once before the work: their content, and what their files alone tell."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.classification.cases import Table, same_content
from MAESILCore.errors import Cancelled
from MAESILCore.store.content import canonical


@dataclass(frozen=True, eq=False)
class Examined:
    """What is known of a scan before a network sees it.

    Attributes:
        content: hash of its voxels, which does not depend on the file format or the order of the axes.
        facts: (7,) float64: logarithms of the voxels and of the spacing along each axis, and the mean value.
        looks_like_hu: see `Volume.looks_like_hu`.
    """

    content: str
    facts: np.ndarray
    looks_like_hu: bool


def examine(volume: Volume) -> Examined:
    """Hash the voxels of a scan, and collect what its file tells."""
    voxels, _ = canonical(volume.voxels, volume.ijk_to_ras)
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=16)
    total = 0.0
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane, dtype="<f4").data)
        total += float(plane.sum(dtype=np.float64))
    sizes = [math.log(size) for size in (*volume.shape, *volume.spacing)]
    return Examined(digest.hexdigest(), np.array([*sizes, total / voxels.size]), volume.looks_like_hu)


def examine_all(
    table: Table, progress: Callable[[str], None], cancelled: Callable[[], bool]
) -> list[Examined]:
    """Read all scans of a table.

    Args:
        table: the cases.
        progress: callback before each scan with a message.
        cancelled: True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: two scans have the same voxels.
        VolumeError: a scan cannot be read.
    """
    found = []
    for case in table.cases:
        stop_if(cancelled)
        progress(f"Checking {case.name}")
        found.append(examine(read_scan(case.path)))
    same_content(table.path, table.cases, [one.content for one in found])
    return found


def stop_if(cancelled: Callable[[], bool]) -> None:
    """Raise if the user wants to stop.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    if cancelled():
        raise Cancelled("The classification was stopped; its results were not written.")
