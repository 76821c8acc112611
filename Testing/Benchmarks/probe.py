"""What frozen features are worth: a linear probe finds patches of tumour, subject by subject.

The ratio is the number of subjects in which an encoder beats the untrained one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.data.window import SOFT_TISSUE, Window
from MAESILCore.inference import encode
from MAESILCore.lattice import SuperpatchGrid
from MAESILCore.methods import create
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint

#: Soft-tissue sarcomas with their outlines; those in `test` were in no training.
SCANS = ("train/STS_*_CT.nii.gz", "test/STS_*_CT.nii.gz")
#: Patches in which the probe has to tell tumour from what looks like it: their mean in HU.
TISSUE = (-50.0, 150.0)
#: Share of a scan along each axis in which the probe looks, and how many such parts of each scan.
SHARE, DRAWS = 0.6, 3
#: Strength of the ridge per patch, on standardised features.
RIDGE = 1e-2

#: A scan in, vectors out: (N, C) for the patches of the lattice in C order.
Encode = Callable[[Volume], np.ndarray]


def probe_rows(data: Path) -> list[tuple[str, str, str]]:
    """Rows of the table: the encoder, its AUROC, how many subjects it finds better than the untrained encoder."""
    paths = sorted(path for pattern in SCANS for path in data.glob(pattern))
    if not paths:
        return [("probe", "left out: it needs the sarcomas of MAESIL_DATA", "")]
    plus, small = load_checkpoint(), load_checkpoint("maesil-small-ct")
    torch.manual_seed(0)
    untrained = LoadedModel(create(plus.card.method, plus.card.config).eval(), plus.card)
    encoders: dict[str, Encode] = {"mean and spread of the voxels": _moments, "place in the scan": _places}
    for model, title in ((untrained, "untrained"), (small, small.name), (plus, plus.name)):
        for level in (2, -1):
            place = "last" if level == -1 else str(level + 1)
            encoders[f"{title}, block {place}"] = _frozen(model, level, model.window)
    encoders[f"{plus.name}, block 3, soft-tissue window"] = _frozen(plus, 2, SOFT_TISSUE)
    found = {
        name: np.mean([probe(encoder, paths, draw) for draw in range(DRAWS)], axis=0)
        for name, encoder in encoders.items()
    }
    base = found["untrained, block last"]
    return [
        (
            f"probe: {name}",
            f"AUROC {scores.mean():.3f} ± {scores.std(ddof=1):.3f}, {len(scores)} subjects",
            f"{int((scores > base).sum())}/{len(scores)}",
        )
        for name, scores in found.items()
    ]


def probe(encoder: Encode, paths: list[Path], draw: int) -> np.ndarray:
    """The AUROC of each subject, of a linear probe that was fitted on the others, on one part of each scan.

    Patches count if their mean is that of soft tissue, and if more than a half or nothing of them is tumour.
    """
    vectors, labels = [], []
    for number, path in enumerate(paths):
        scan, outline = (
            _cropped(read_volume(place), (draw, number))
            for place in (path, path.with_name(path.name.replace("_CT", "_CT_gtv")))
        )
        means, shares = (
            _per_patch(scan.voxels)[:, 0],
            _per_patch((outline.voxels > 0).astype(np.float32))[:, 0],
        )
        counts = (means > TISSUE[0]) & (means < TISSUE[1]) & ((shares == 0) | (shares > 0.5))
        vectors.append(encoder(scan)[counts].astype(np.float64))
        labels.append(shares[counts] > 0.5)
    return np.array([_held_out(vectors, labels, subject) for subject in range(len(paths))])


def _cropped(volume: Volume, seed: tuple[int, int]) -> Volume:
    """A part of a volume at a random place: the scans are cropped around their tumours, whose place gives them away."""
    draw = np.random.default_rng(seed)
    sizes = [round(SHARE * extent) for extent in volume.shape]
    starts = [draw.integers(extent - size + 1) for extent, size in zip(volume.shape, sizes, strict=True)]
    box = tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return Volume(
        np.ascontiguousarray(volume.voxels[box]), volume.ijk_to_ras
    )  # features have no place in space


def _held_out(vectors: list[np.ndarray], labels: list[np.ndarray], subject: int) -> float:
    others = [number for number in range(len(vectors)) if number != subject]
    x, y = np.concatenate([vectors[n] for n in others]), np.concatenate([labels[n] for n in others])
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-9
    x = (x - mean) / deviation
    weight = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())[:, None]  # both classes weigh the same
    target = np.where(y, 1.0, -1.0)[:, None]
    beta = np.linalg.solve(x.T @ (weight * x) + RIDGE * np.eye(x.shape[1]), x.T @ (weight * target))
    return auroc((((vectors[subject] - mean) / deviation) @ beta)[:, 0], labels[subject])


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The share of pairs of a positive and a negative that the scores put in order; 0.5 without such pairs."""
    from scipy.stats import mannwhitneyu

    positive, negative = scores[labels], scores[~labels]
    if not (len(positive) and len(negative)):
        return 0.5
    return float(mannwhitneyu(positive, negative).statistic) / (len(positive) * len(negative))


def _frozen(model: LoadedModel, level: int, window: Window) -> Encode:
    def encoder(scan: Volume) -> np.ndarray:
        vectors = encode(scan, model, level, window=window, device="cpu").vectors
        return vectors.reshape(len(vectors), -1).T

    return encoder


def _moments(scan: Volume) -> np.ndarray:
    return _per_patch(scan.voxels)


def _places(scan: Volume) -> np.ndarray:
    """Place of each patch from -1 to 1, and its products: what a probe finds without looking at voxels."""
    lattice = [-(-extent // 8) for extent in scan.shape]
    axes = np.meshgrid(*(np.linspace(-1, 1, number) for number in lattice), indexing="ij")
    k, j, i = (axis.ravel() for axis in axes)
    return np.stack([k, j, i, k * k, j * j, i * i, k * j, k * i, j * i], axis=1)


def _per_patch(voxels: np.ndarray, patch: int = 8) -> np.ndarray:
    """Mean and standard deviation of the voxels of each patch, (N, 2)."""
    grid = SuperpatchGrid((voxels.shape[0], voxels.shape[1], voxels.shape[2]), patch, patch)
    boxes = [voxels[grid.box(n).voxel_slices(grid.patch_size, grid.shape)] for n in range(len(grid))]
    return np.array([(float(box.mean()), float(box.std())) for box in boxes])
