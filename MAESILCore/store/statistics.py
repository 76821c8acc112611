"""Statistics of the body's HU: of a scan, and of all scans of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from MAESILCore.store.layout import BODY_HU

#: HU of the histogram's first bin, the width of a bin, and the number of bins; the last one holds all higher values.
FIRST, WIDTH, BINS = BODY_HU + 1, 4, 893

PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)


def of_scan(voxels: np.ndarray) -> dict[str, Any]:
    """Statistics of (k, j, i) int16 voxels above -500 HU, ready for JSON."""
    counts = np.zeros(np.iinfo(np.int16).max - BODY_HU, dtype=np.int64)
    for plane in voxels:
        counts += np.bincount(plane[plane > BODY_HU] - np.int32(FIRST), minlength=counts.size)
    values = np.arange(FIRST, FIRST + counts.size, dtype=np.float64)
    count = int(counts.sum())
    mean = float(counts @ values / max(count, 1))
    bins = np.add.reduceat(counts, np.arange(BINS) * WIDTH)
    return {
        "body_voxels": count,
        "mean": mean,
        "std": float(np.sqrt(counts @ (values - mean) ** 2 / max(count, 1))),
        "percentiles": _percentiles(counts, values),
        "histogram": {"first": FIRST, "width": WIDTH, "counts": bins.tolist()},
    }


def of_values(voxels: np.ndarray, floor: float) -> dict[str, Any]:
    """Statistics of (k, j, i) int16 voxels without HU above a value, ready for JSON."""
    count, total, squares = 0, 0.0, 0.0
    for plane in voxels:
        body = plane[plane > floor].astype(np.float64)
        count, total, squares = count + body.size, total + body.sum(), squares + np.square(body).sum()
    mean = total / max(count, 1)
    variance = max(0.0, squares / max(count, 1) - mean**2)
    return {"body_voxels": count, "mean": float(mean), "std": float(np.sqrt(variance))}


def of_values_in_store(scans: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of scans and voxels; values of several scans without HU have nothing in common."""
    voxels = [scan["body_voxels"] for scan in scans]
    return {"scans": len(voxels), "body_voxels": sum(voxels)}


def of_store(scans: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The same over all scans; its percentiles are exact to a bin's width."""
    bins, each = np.zeros(BINS, dtype=np.int64), []
    for scan in scans:
        bins += np.asarray(scan["histogram"]["counts"], dtype=np.int64)
        each.append((scan["body_voxels"], scan["mean"], scan["std"]))
    counts, means, stds = np.array(each, dtype=np.float64).reshape(-1, 3).T
    total = max(float(counts.sum()), 1.0)
    mean = float(counts @ means / total)
    centres = FIRST + WIDTH * np.arange(BINS) + (WIDTH - 1) / 2
    return {
        "scans": len(each),
        "body_voxels": int(counts.sum()),
        "mean": mean,
        "std": float(np.sqrt(counts @ (stds**2 + (means - mean) ** 2) / total)),
        "percentiles": _percentiles(bins, centres),
        "histogram": {"first": FIRST, "width": WIDTH, "counts": bins.tolist()},
    }


def _percentiles(counts: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """The lowest value with at least that share of all counts at or below it."""
    below = np.cumsum(counts)
    if below[-1] == 0:
        return {}
    return {
        f"{share:g}": float(values[np.searchsorted(below, share / 100 * below[-1])]) for share in PERCENTILES
    }
