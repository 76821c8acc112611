"""The segmentation training that `make soak` kills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from MAESILCore.data.labels import write_segmentation
from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.data.volume import read_volume
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.config import load_segmentation_config
from MAESILCore.downstream.segmentation.run import SegmentationRun
from MAESILCore.downstream.segmentation.trainer import train_segmentation

RECIPE = {
    "preset": "tiny",
    "model": {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)},
    "crop_size": (16, 16, 16),
    "width": 4,
    "steps": 12,
    "warmup_steps": 2,
    "learning_rate": 1e-2,
    "checkpoint_every": 2,
    "validate_every": 3,
    "precision": "32-true",
}


def segmentation_training(scans: list[Path]) -> Callable[[Path], None]:
    """Label the brightest tissue of scans; returns what starts or resumes a training in a folder.

    Args:
        scans: the scans; the first one is for validation.
    """
    cases = []
    for number, scan in enumerate(scans):
        volume = read_volume(scan)
        labels = (volume.voxels > 90).astype(np.uint8)
        place = scan.with_name(f"labels{number}.seg.nrrd")
        write_segmentation(Segmentation(labels, volume.ijk_to_ras, (Segment(1, "bright"),)), place)
        cases.append(Case(str(scan), str(place), f"patient{number}", validation=number == 0))
    config = load_segmentation_config(None, RECIPE)

    def train(folder: Path) -> None:
        has_begun = (folder / "config.yaml").exists()
        run = SegmentationRun.open(folder) if has_begun else SegmentationRun.create(folder)
        train_segmentation(run, config, cases, device="cpu")

    return train
