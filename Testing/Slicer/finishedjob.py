"""Job folders as a finished reconstruction leaves them, with made-up results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from MAESILSlicerLib.scene.volumes import voxelsOf

MakeJob = Callable[..., Path]

PATCH = 8
#: Of a coverage.
MASKS = 4
WINDOW = (-1000.0, 1000.0)
SCORES = {"psnr_hidden": 27.1234, "ssim_hidden": 0.81234, "mae_hu_hidden_body": 31.26, "psnr_unmasked": None}
#: Standard deviation of the error, HU.
NOISE = 80.0


def writeFinishedJob(
    folder: Path,
    node: slicer.vtkMRMLScalarVolumeNode,
    isCoverage: bool = True,
    controls: Mapping[str, Any] | None = None,
    scores: bool = True,
) -> Path:
    """Write the folder of a job on a volume, in place of what was there.

    Args:
        folder: where to.
        node: the volume.
        isCoverage: whether there is an uncertainty.
        controls: scores of controls that differ from those of the model, by the name of the control.
        scores: whether the volume as a whole was scored.
    """
    folder.mkdir(exist_ok=True)
    for leftover in folder.glob("*"):
        leftover.unlink()
    for name, array in _arrays(voxelsOf(node).astype(np.float32), isCoverage).items():
        np.save(folder / f"{name}.npy", array)
    _writeJson(folder / "job.json", {"kind": "reconstruction", "request": {}})
    _writeJson(
        folder / "result.json",
        {
            "model": "maesil-small-ct",
            "window_hu": WINDOW,
            "patch_size_kji": [PATCH] * 3,
            "is_coverage": isCoverage,
            "masks": MASKS if isCoverage else 1,
            "notes": ["Made up."],
        },
    )
    superpatches = [
        {"index": 0, "i": 0, "j": 0, "k": 0, "hidden_voxels": 512, "psnr_hidden": 25.129, "mae_hu": 40.04},
        {"index": 5, "i": 1, "j": 0, "k": 1, "hidden_voxels": 1024, "psnr_hidden": 31.0, "mae_hu": 12.0},
    ]
    _writeJson(folder / "superpatches.json", superpatches)
    if scores:
        _writeJson(folder / "metrics.json", _metrics(controls or {}))
    return folder


def expanded(stages: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The slow and obvious way from patches to voxels."""
    return stages[tuple(np.indices(shape) // PATCH)]


def _arrays(original: np.ndarray, isCoverage: bool) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    stages = generator.integers(0, 3, size=[-(-n // PATCH) for n in original.shape], dtype=np.uint8)
    isHidden = expanded(stages, original.shape) > 0
    noise = generator.normal(0, NOISE, original.shape).astype(np.float32)
    arrays = {
        "reconstruction": original + noise,
        "mosaic": np.where(isHidden, original + noise, original),
        "error": np.where(isHidden, noise, np.float32(0)),
        "mask": stages,
    }
    return arrays | ({"uncertainty": np.abs(noise)} if isCoverage else {})


def _metrics(controls: Mapping[str, Any]) -> dict[str, Any]:
    softTissue = {"soft_tissue": {"psnr_hidden": 19.5}}
    return {
        "setup": {"window_hu": WINDOW},
        "model": SCORES | softTissue,
        "controls": {name: SCORES | entry | softTissue for name, entry in controls.items()},
    }


def _writeJson(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
