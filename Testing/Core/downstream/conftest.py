"""Small labelled scans: a bright ball and a dark one in tissue, oblique, with voxels that are no cubes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.config import SegmentationConfig, load_segmentation_config

BRIGHT, DARK = Segment(1, "bright", (1.0, 0.0, 0.0)), Segment(2, "dark", (0.0, 0.0, 1.0))
SHAPE = (14, 22, 19)


def oblique() -> np.ndarray:
    """A turned and sheared geometry with three different spacings."""
    matrix = np.eye(4)
    turn = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])
    matrix[:3, :3] = turn @ np.diag([-0.8, 1.1, 2.5]) + np.outer([0.0, 0.3, 0.0], [0.0, 0.0, 1.0])
    matrix[:3, 3] = (31.0, -47.0, 12.5)
    return matrix


def labelled_volume(seed: int, with_dark: bool = True) -> tuple[Volume, Segmentation]:
    """A scan with its labels; the places of the balls depend on the seed."""
    draw = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    voxels = draw.normal(40.0, 15.0, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    for one, hu, low in ((BRIGHT, 600.0, 5.0), (DARK, -500.0, 12.0)):
        if one is BRIGHT or with_dark:
            centre = (draw.uniform(4, 9), draw.uniform(6, 15), low + draw.uniform(0, 2))
            ball = (((places - centre) / (3.0, 4.0, 3.5)) ** 2).sum(axis=-1) <= 1.0
            voxels[ball], labels[ball] = hu, one.value
    volume = Volume(voxels.round().astype(np.int16), oblique(), f"scan{seed}")
    segments = (BRIGHT, DARK) if with_dark else (BRIGHT,)
    return volume, Segmentation(labels, volume.ijk_to_ras, segments)


@pytest.fixture(scope="session")
def labelled_cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Three cases in files; the last one is for validation."""
    from MAESILCore.data.labels import write_segmentation

    folder = tmp_path_factory.mktemp("labelled")
    cases = []
    for seed in range(3):
        volume, segmentation = labelled_volume(seed)
        scan, labels = folder / f"scan{seed}.nrrd", folder / f"scan{seed}.seg.nrrd"
        write_volume(volume, scan)
        write_segmentation(segmentation, labels)
        cases.append(Case(str(scan), str(labels), f"patient{seed}", validation=seed == 2))
    return cases


RECIPE: dict[str, Any] = {
    "preset": "tiny",
    "model": {"superpatch_size": [16, 24, 24], "patch_size": [4, 4, 4]},
    "width": 4,
    "norm": "instance",  # learns the balls in half as many steps
    "structure_share": 0.7,
    "batch_size": 2,
    "warmup_steps": 2,
    "learning_rate": 2e-2,
}


@pytest.fixture
def segment_recipe() -> Callable[..., SegmentationConfig]:
    """A recipe for a network that learns within seconds, with other fields."""
    return lambda **fields: load_segmentation_config(None, {**RECIPE, **fields})


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A folder for a run."""
    return tmp_path / "run"
