"""Segmentation jobs without a model: their folders as they are left, and a job that writes such a folder at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.jobfolder import JobFolder

STRUCTURES: list[dict[str, Any]] = [
    {"value": 1, "name": "Leber", "color": [1.0, 0.0, 0.5], "terminology": ""},
    {"value": 2, "name": "gone", "color": None, "terminology": ""},
]


def write_segmentation_job(folder: Path, labels: np.ndarray) -> Path:
    """Write the folder of a job whose model found these labels, (k, j, i) of 0 and 1."""
    folder.mkdir()
    request = {"ijk_to_ras": np.eye(4).tolist(), "name": "first"}
    (folder / "job.json").write_text(json.dumps({"kind": "segmentation", "request": request}))
    write_results(folder, labels)
    return folder


def write_results(folder: Path, labels: np.ndarray) -> None:
    """Write what a job adds to its folder."""
    np.save(folder / "labels.npy", labels.astype(np.uint8))
    np.save(folder / "uncertainty.npy", (labels * 0.25).astype(np.float32))
    content = {"model": "balls", "structures": STRUCTURES, "notes": ["Made up."]}
    (folder / "result.json").write_text(json.dumps(content))


class QuickJob:
    """In place of a `JobProcess`: finds the first structure everywhere, and is over after some polls.

    Attributes:
        polls: polls until the end, of all such jobs.
        ends: how they end.
        started: scan and model of each that was started.
    """

    polls = 1
    ends = "finished"
    started: list[tuple[str, str]]

    def __init__(self, folder: Path, _python: str) -> None:
        self.folder = JobFolder(folder)
        self.state, self.message = "running", "Segmented 1 of 4 tiles."
        self.fraction, self.seconds_left = 0.25, 30.0
        self._polled = 0

    @property
    def is_over(self) -> bool:
        return self.state not in ("running", "cancelling")

    def start(self) -> None:
        request = self.folder.description()[1]
        self.started.append((request["name"], request["model"]))
        voxels = np.load(self.folder.path / "voxels.npy", mmap_mode="r")
        write_results(self.folder.path, np.ones(voxels.shape))

    def poll(self) -> list[str]:
        self._polled += 1
        if self.state == "running" and self._polled < self.polls:
            return []
        self.state = "cancelled" if self.state == "cancelling" else self.ends
        self.message = {"finished": "Segmented.", "failed": "Out of memory."}.get(self.state, "Cancelled.")
        return [self.state]

    def cancel(self) -> None:
        self.state, self.message = "cancelling", "Cancelling."

    def close(self) -> None:
        for path in self.folder.path.iterdir():
            path.unlink()
        self.folder.path.rmdir()
