"""Texts and numbers of a report, shared by picture and page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.volume import Volume

if TYPE_CHECKING:
    # Needs PyTorch, which a GUI with the same texts may lack.
    from MAESILCore.inference import Reconstruction

#: The scores of one scan: {"model": {metric: value}, "controls": {name: {metric: value}}}.
Scores = Mapping[str, Any]
_TILES = 4
DISCLAIMER = "Research use only; not a medical device."
#: The meaning of an error map.
ERROR_MEANING = (
    "Large errors show what the visible surroundings do not predict: they follow edges, bone, vessels and gas, and do "
    "not detect disease. A mass larger than a patch is predicted from its own visible parts: to test it, hide all of "
    "it as a region or a segment."
)


@dataclass(frozen=True)
class Metric:
    """A score of a report.

    Attributes:
        key: name in the scores.
        title: display name.
        unit: unit, or "".
        digits: digits after the point.
        best: the best possible value.
        meaning: one sentence on its meaning.
    """

    key: str
    title: str
    unit: str
    digits: int
    best: float
    meaning: str

    def text(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:.{self.digits}f}{' ' if self.unit else ''}{self.unit}"

    def shortfall(self, value: float) -> float:
        """Distance of a value from the best one."""
        return -value if np.isinf(self.best) else abs(value - self.best)


METRICS = (
    Metric(
        "psnr_hidden", "PSNR, hidden voxels", "dB", 2, np.inf,
        "accuracy of the hidden voxels, the main score; 3 dB more is half the squared error",
    ),
    Metric("ssim_hidden", "SSIM, hidden voxels", "", 3, 1.0, "similarity of structure there; 1 is identical"),
    Metric("psnr_hidden_body", "PSNR, hidden body", "dB", 2, np.inf, "the same without air, which is easy to predict"),
    Metric("mae_hu_hidden_body", "Mean error, hidden body", "HU", 1, 0.0, "average distance from the scan"),
    Metric("ssim_hidden_body", "SSIM, hidden body", "", 3, 1.0, "similarity of structure inside the body"),
    Metric("psnr_full", "PSNR, all voxels", "dB", 2, np.inf, "visible voxels included, which raises every score"),
    Metric("psnr_unmasked", "PSNR, nothing hidden", "dB", 2, np.inf, "the model's copy of the scan, not a prediction"),
    Metric(
        "blockiness_ratio", "Blockiness", "", 2, 1.0,
        "steps at the borders of patches over those of the scan; 1 means no visible grid",
    ),
)  # fmt: skip

#: One sentence per control.
CONTROL_MEANINGS = {
    "mean": "every hidden voxel gets the mean of the visible ones of its superpatch",
    "nearest": "every hidden voxel copies the nearest visible patch",
    "harmonic": "a membrane spanned between the visible voxels",
    "biharmonic": "a thin plate bent through the visible voxels, which continues slopes",
}


def value_of(entry: Mapping[str, Any], metric: Metric) -> float | None:
    """A finite score, or None."""
    return finite(entry.get(metric.key))


def finite(value: object) -> float | None:
    """A finite number, or None."""
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def control_name(key: str) -> str:
    """The display name of a control."""
    return key.replace("_", " ")


def best_control(scores: Scores, metric: Metric) -> tuple[str, float] | None:
    """The best control by a metric, and its score."""
    found = [(name, value_of(entry, metric)) for name, entry in scores.get("controls", {}).items()]
    known = [(name, value) for name, value in found if value is not None]
    if not known:
        return None
    return min(known, key=lambda pair: metric.shortfall(pair[1]))


def shown_metrics(scores: Scores) -> list[Metric]:
    """The metrics with a score of the model, most important first."""
    return [metric for metric in METRICS if value_of(scores.get("model", {}), metric) is not None]


def score_tiles(scores: Scores) -> list[tuple[str, str, str]]:
    """Title, value and best control of the most important scores."""
    tiles = []
    for metric in shown_metrics(scores)[:_TILES]:
        rival = best_control(scores, metric)
        against = f"best control ({control_name(rival[0])}): {metric.text(rival[1])}" if rival else ""
        tiles.append((metric.title, metric.text(scores["model"][metric.key]), against))
    return tiles


def score_rows(scores: Scores, metrics: list[Metric]) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Rows of model and controls: a name, and per metric the value as text and whether it is the best."""
    named = {"This model": scores["model"]}
    named |= {f"Control: {control_name(name)}": entry for name, entry in scores.get("controls", {}).items()}
    best = {}
    for metric in metrics:
        shortfalls = [metric.shortfall(v) for e in named.values() if (v := value_of(e, metric)) is not None]
        best[metric] = min(shortfalls) if len(shortfalls) > 1 else -np.inf

    def cell(entry: Mapping[str, Any], metric: Metric) -> tuple[str, bool]:
        value = value_of(entry, metric)
        if value is None:
            return "\N{EN DASH}", False
        return f"{value:.{metric.digits}f}", metric.shortfall(value) <= best[metric]

    return [(name, [cell(entry, metric) for metric in metrics]) for name, entry in named.items()]


def soft_tissue_scores(scores: Scores) -> Scores:
    """The scores in the soft-tissue window, if any."""
    controls = {name: entry.get("soft_tissue", {}) for name, entry in scores.get("controls", {}).items()}
    return {"model": scores.get("model", {}).get("soft_tissue", {}), "controls": controls}


def unit_of(volume: Volume) -> str:
    """The unit of a volume's voxels."""
    return "HU" if volume.looks_like_hu else "stored units"


def plain(number: float) -> str:
    """A rounded number with a typographic minus sign."""
    return f"{number:.0f}".replace("-", "\N{MINUS SIGN}")


def mask_sentence(result: Reconstruction) -> str:
    """A sentence on the hidden share and the number of masks."""
    if result.sees_all:
        return "nothing hidden: the model saw the whole scan"
    percent = 100 * result.mask.hidden_fraction
    if len(result.masks) > 1:
        return f"{len(result.masks)} masks, each hiding about {percent:.0f} %; every patch was hidden at least once"
    return f"one mask, {percent:.1f} % of the patches hidden"


def scored_words(result: Reconstruction, scores: Scores) -> str:
    """The masks of the scores, if the pictures show others; else ""."""
    scored = scores.get("setup", {}).get("scored_masks", len(result.masks))
    if scored == len(result.masks):
        return ""
    return f"Scores: {scored} mask{'s' * (scored > 1)}; pictures: mean of {len(result.masks)}"


def facts(result: Reconstruction, original: Volume) -> list[tuple[str, str]]:
    """Geometry and grid of a scan as pairs of name and value."""
    k, j, i = original.shape
    spacing = original.spacing
    field = [n * s / 10 for n, s in zip((i, j, k), spacing, strict=True)]
    grid = result.grid
    orientation = original.orientation
    kind = " (sheared)" if original.is_sheared else " (oblique)" if original.is_oblique else ""
    return [
        ("Voxels", _times(i, j, k)),
        ("Voxel size", _times(*(f"{s:.3g}" for s in spacing)) + " mm"),
        ("Field of view", _times(*(f"{f:.1f}" for f in field)) + " cm"),
        ("Orientation", f"{orientation}{kind}"),
        ("Superpatches", f"{len(grid)} of {_product(grid.superpatch_size)} voxels ({_product(grid.counts)})"),
        ("Patches", f"{_product(grid.lattice_shape)} of {_product(grid.patch_size)} voxels"),
        ("Mask", mask_sentence(result)),
    ]


def _product(sizes_kji: tuple[int, int, int]) -> str:
    """Three sizes in the order i, j, k."""
    return _times(*reversed(sizes_kji))


def _times(*sizes: object) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(str(size) for size in sizes)


def hidden_error(result: Reconstruction) -> float:
    """Mean absolute error of hidden voxels, or of all if the model sees all, in the unit of the scan."""
    error = result.error.voxels
    if len(result.masks) > 1 or result.sees_all:
        return float(np.mean(np.abs(error), dtype=np.float64))
    hidden = result.grid.expand(result.mask.hidden)
    return float(np.mean(np.abs(error), where=hidden, dtype=np.float64)) if hidden.any() else 0.0
