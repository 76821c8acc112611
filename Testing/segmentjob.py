"""Job folders as a finished segmentation leaves them, with made-up labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

STRUCTURES: list[dict[str, Any]] = [
    {"value": 1, "name": "Leber", "color": [1.0, 0.0, 0.5], "terminology": ""},
    {"value": 2, "name": "gone", "color": None, "terminology": ""},
]


def write_segmentation_job(folder: Path, labels: np.ndarray) -> Path:
    """Write the folder of a job whose model found these labels, (k, j, i) of 0 and 1."""
    folder.mkdir()
    np.save(folder / "labels.npy", labels.astype(np.uint8))
    np.save(folder / "uncertainty.npy", (labels * 0.25).astype(np.float32))
    (folder / "job.json").write_text(json.dumps({"kind": "segmentation", "request": {}}))
    content = {"model": "balls", "structures": STRUCTURES, "notes": ["Made up."]}
    (folder / "result.json").write_text(json.dumps(content))
    return folder
