"""From a seed and a grid to a labelled scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError
from MAESILCore.phantom.abdomen import (
    paint_back_muscles,
    paint_bowel,
    paint_diaphragm,
    paint_kidneys,
    paint_spleen,
    paint_stomach,
)
from MAESILCore.phantom.geometry import check_shape, phantom_geometry
from MAESILCore.phantom.heart import paint_heart
from MAESILCore.phantom.labels import LEGEND
from MAESILCore.phantom.liver import paint_liver
from MAESILCore.phantom.lungs import paint_lungs
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas, grid_points, slabs
from MAESILCore.phantom.scanner import bias, blur, noise, noise_level
from MAESILCore.phantom.skeleton import paint_pelvis, paint_ribs, paint_shoulders, paint_sternum
from MAESILCore.phantom.spine import paint_spine
from MAESILCore.phantom.trunk import paint_table, paint_trunk
from MAESILCore.phantom.twigs import (
    Trees,
    liver_trees,
    lung_trees,
    mesenteric_trees,
    paint_liver_vessels,
    paint_lung_vessels,
    paint_mesenteric_vessels,
)
from MAESILCore.phantom.vessels import paint_airways, paint_great_vessels

_SLAB = 3_000_000


@dataclass(frozen=True)
class Phantom:
    """A made-up scan and the truth about it.

    Attributes:
        volume: HU, int16.
        labels: What each voxel is, uint8, on the same grid.
        legend: The name of each label.
    """

    volume: Volume
    labels: Volume
    legend: dict[int, str] = field(default_factory=lambda: dict(LEGEND))


class _Slab(NamedTuple):
    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray


def make_phantom(
    shape: tuple[int, int, int] = (128, 128, 128),
    *,
    ijk_to_ras: np.ndarray | None = None,
    spacing: tuple[float, float, float] | None = None,
    seed: int = 0,
    contrast: bool = True,
    noise_hu: float = 14.0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Phantom:
    """Make a CT of a torso that nobody has, with labels.

    The patient is a function of the position in RAS mm and of the seed: any grid, turned, flipped or sheared,
    samples the same one. Only the noise belongs to the grid.

    Args:
        shape: Voxels along k, j, i.
        ijk_to_ras: Geometry of the grid, (4, 4); None means an LPS grid around chest and upper abdomen.
        spacing: Voxel size along i, j, k in mm, in place of `ijk_to_ras`; None fits the torso into the shape.
        seed: Which patient.
        contrast: Whether contrast agent was given.
        noise_hu: Deviation of the noise in the middle of the body, HU.
        progress: Called with (done, total, message).

    Raises:
        ConfigError: A shape, geometry or seed that cannot be used.
    """
    geometry = _checked_geometry(shape, ijk_to_ras, spacing)
    if seed < 0 or noise_hu < 0:
        message = f"Seed and noise must not be negative, but they are {seed} and {noise_hu:g} HU."
        raise ConfigError(message)
    patient, trees = _grown_patient(seed, contrast)
    hu = np.empty(shape, dtype=np.float32)
    labels = np.empty(shape, dtype=np.uint8)
    for part in slabs(shape, _SLAB):
        canvas = Canvas(*_slab(shape, geometry, patient, part), patient.texture)
        _paint_patient(canvas, patient, trees)
        hu[part], labels[part] = canvas.hu, canvas.labels
        if progress is not None:
            progress(part.stop, shape[0], "Painting the phantom")
    _scan(hu, geometry, patient, noise_hu)
    name = f"phantom_{seed}"
    voxels = np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)
    return Phantom(Volume(voxels, geometry, name), Volume(labels, geometry.copy(), f"{name}_labels"))


@lru_cache(maxsize=4)
def _grown_patient(seed: int, contrast: bool) -> tuple[Patient, Trees]:
    """A patient with vessels; growing these takes longer than painting a small grid."""
    patient = Patient(seed, contrast)
    return patient, Trees(lung_trees(patient), liver_trees(patient), mesenteric_trees(patient))


def _checked_geometry(
    shape: tuple[int, int, int], ijk_to_ras: np.ndarray | None, spacing: tuple[float, float, float] | None
) -> np.ndarray:
    check_shape(shape)
    if ijk_to_ras is None:
        return phantom_geometry(shape, spacing)
    if spacing is not None:
        message = "Give either the geometry (ijk_to_ras) or the spacing of the phantom, not both."
        raise ConfigError(message)
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    usable = matrix.shape == (4, 4) and np.isfinite(matrix).all()
    if not usable or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        message = "The geometry of a phantom must be a 4 x 4 IJK-to-RAS matrix that can be inverted."
        raise ConfigError(message)
    return matrix


def _slab(shape: tuple[int, int, int], geometry: np.ndarray, patient: Patient, part: slice) -> _Slab:
    """The grid of some slices, in the frame of a patient of standard size."""
    moved = geometry.copy()
    moved[:3, 3] += geometry[:3, 2] * part.start
    standard = np.diag([*(1.0 / s for s in patient.stature), 1.0]) @ moved
    return _Slab((part.stop - part.start, shape[1], shape[2]), standard)


def _paint_patient(canvas: Canvas, patient: Patient, trees: Trees) -> None:
    """Later structures cover earlier ones."""
    paint_table(canvas, patient)
    paint_trunk(canvas, patient)
    paint_back_muscles(canvas, patient)
    paint_diaphragm(canvas, patient)
    paint_mesenteric_vessels(canvas, patient, trees.mesentery)
    paint_bowel(canvas, patient)
    paint_stomach(canvas, patient)
    paint_spleen(canvas, patient)
    paint_kidneys(canvas, patient)
    paint_liver(canvas, patient)
    paint_liver_vessels(canvas, patient, trees.liver)
    paint_lungs(canvas, patient)
    paint_lung_vessels(canvas, patient, trees.lung)
    paint_great_vessels(canvas, patient)
    paint_heart(canvas, patient)
    paint_airways(canvas, patient)
    paint_shoulders(canvas, patient)
    paint_ribs(canvas, patient)
    paint_sternum(canvas, patient)
    paint_spine(canvas, patient)
    paint_pelvis(canvas, patient)


def _scan(hu: np.ndarray, geometry: np.ndarray, patient: Patient, noise_hu: float) -> None:
    """Blur, bias and noise, in place."""
    blur(hu, np.linalg.norm(geometry[:3, :3], axis=0))
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    grain = noise(shape, patient.seed) if noise_hu else None
    for part in slabs(shape, _SLAB):
        points = grid_points(*_slab(shape, geometry, patient, part))
        # Air has no attenuation to be wrong about.
        hu[part] += bias(points) * np.clip((hu[part] + 1000) * np.float32(1e-3), 0, 1)
        if grain is not None:
            hu[part] += grain[part] * np.float32(noise_hu) * noise_level(patient, points)
