"""Small CT scans as files, and the bytes of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from MAESILCore.data.volume import Volume, write_volume

SHAPE = (40, 50, 36)


def ct(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """HU of a body with noise in air, (k, j, i) int16."""
    generator = np.random.default_rng(seed)
    hu = np.full(shape, -1000, np.int16)
    inner = tuple(slice(extent // 6, -extent // 6) for extent in shape)
    hu[inner] = generator.integers(-150, 400, hu[inner].shape)
    return hu


def oblique() -> np.ndarray:
    """An oblique, anisotropic and mirrored IJK-to-RAS matrix."""
    angle = np.radians(20.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ tilt @ np.diag([-0.7, 0.9, 2.5])
    matrix[:3, 3] = 91.53, -70.25, -1200.125
    return matrix


@pytest.fixture
def write_ct(tmp_path: Path) -> Callable[..., Path]:
    """Writes a scan below tmp_path/scans; NRRD, which keeps the geometry exactly."""

    def write_ct(
        name: str = "a/ct.nrrd",
        seed: int = 0,
        shape: tuple[int, int, int] = SHAPE,
        ijk_to_ras: np.ndarray | None = None,
        voxels: np.ndarray | None = None,
    ) -> Path:
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        matrix = np.diag([0.8, 0.8, 2.0, 1.0]) if ijk_to_ras is None else ijk_to_ras
        write_volume(Volume(ct(seed, shape) if voxels is None else voxels, matrix), path)
        return path

    return write_ct


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
