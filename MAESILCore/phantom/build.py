"""Makes a labelled scan from a seed and a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial.transform import Rotation

from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError
from MAESILCore.phantom import body, organs
from MAESILCore.phantom.anatomy import PROFILES, Patient
from MAESILCore.phantom.canvas import Canvas, Points, grid_points
from MAESILCore.phantom.labels import LEGEND

#: Extent of the default grid along x, y, z in mm (chest and upper abdomen), and its centre in RAS mm.
FIELD_OF_VIEW, CENTRE = (390.0, 390.0, 352.0), (0.0, -8.0, 6.0)
_DIRECTIONS = dict(zip("RLAPSI", np.kron(np.eye(3), [[1], [-1]]), strict=True))
_SLAB_VOXELS = 3_000_000


def phantom_geometry(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] | None = None,
    orientation: str = "LPS",
    oblique: float = 0.0,
) -> np.ndarray:
    """The IJK-to-RAS matrix (4, 4) of a grid at the centre of the phantom.

    Args:
        shape: voxels along k, j, i.
        spacing: voxel size along i, j, k in mm; None fits chest and upper abdomen into the shape.
        orientation: directions of i, j and k: three letters, one of each pair R L, A P, S I.
        oblique: rotation of the grid about the axis (1, 1, 1) in degrees.

    Raises:
        ConfigError: shape, orientation or spacing is invalid.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ConfigError(
            f"A phantom needs three sizes (k, j, i) of at least 1, but the shape is {tuple(shape)}."
        )
    columns = [_DIRECTIONS[letter] for letter in orientation.upper() if letter in _DIRECTIONS]
    if len(orientation) != 3 or len(columns) != 3 or not np.all(np.abs(columns).sum(axis=0) == 1):
        raise ConfigError(
            f"The orientation {orientation!r} does not exist; give three letters, one of R or L, "
            "one of A or P and one of S or I, such as LPS."
        )
    axes, sizes = np.stack(columns, axis=1), np.array(shape[::-1], dtype=np.float64)
    steps = np.abs(np.array(FIELD_OF_VIEW) @ axes) / sizes if spacing is None else np.asarray(spacing)
    if not (steps > 0).all() or not np.isfinite(steps).all():
        raise ConfigError(
            f"Each voxel size must be above 0 mm, but the spacing is {' x '.join(f'{s:g}' for s in steps)}."
        )
    turn = Rotation.from_rotvec(np.full(3, oblique / np.sqrt(3)), degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ axes * steps
    matrix[:3, 3] = np.array(CENTRE) - matrix[:3, :3] @ ((sizes - 1) / 2)
    return matrix


@dataclass(frozen=True)
class Phantom:
    """A synthetic scan with labels.

    Attributes:
        volume: the scan in HU, int16.
        labels: the label of each voxel, uint8, same geometry.
        legend: names by label value.
    """

    volume: Volume
    labels: Volume
    legend: dict[int, str] = field(default_factory=lambda: dict(LEGEND))

    @property
    def segmentation(self) -> Segmentation:
        """The labels with their names."""
        segments = tuple(Segment(value, name) for value, name in self.legend.items() if value)
        return Segmentation(self.labels.voxels, self.labels.ijk_to_ras, segments)


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
    """Make a CT of a torso, with labels.

    The patient is a function of the seed and the position in RAS mm: any grid, also turned, flipped or sheared, samples
    the same patient. Only the noise depends on the grid.

    Args:
        shape: voxels along k, j, i.
        ijk_to_ras: geometry of the grid, (4, 4); None is an LPS grid around chest and upper abdomen.
        spacing: voxel size along i, j, k in mm, instead of `ijk_to_ras`; None fits the torso into the shape.
        seed: seed of the patient.
        contrast: whether contrast agent was given.
        noise_hu: standard deviation of the noise in the middle of the body, HU.
        progress: callback with (done, total, message).

    Raises:
        ConfigError: shape, geometry or seed is invalid.
    """
    geometry = phantom_geometry(shape, spacing)
    if ijk_to_ras is not None:
        if spacing is not None:
            raise ConfigError(
                "Give either the geometry (ijk_to_ras) or the spacing of the phantom, not both."
            )
        geometry = np.array(ijk_to_ras, dtype=np.float64)
        usable = geometry.shape == (4, 4) and np.isfinite(geometry).all()
        if not usable or abs(np.linalg.det(geometry[:3, :3])) < 1e-12:
            raise ConfigError(
                "The geometry of a phantom must be a 4 x 4 IJK-to-RAS matrix that can be inverted."
            )
    if seed < 0 or noise_hu < 0:
        raise ConfigError(f"Seed and noise must not be negative, but they are {seed} and {noise_hu:g} HU.")
    patient, tree = _grown_patient(seed, contrast)
    hu, labels = np.full(shape, -1000, dtype=np.float32), np.zeros(shape, dtype=np.uint8)
    # The patient is painted at standard size.
    standard = np.diag([*(1.0 / s for s in patient.stature), 1.0]) @ geometry
    for part, points, moved in _slabs(shape, standard):
        _paint(Canvas(hu[part], labels[part], patient.texture(points), points, moved), patient, tree)
        if progress is not None:
            progress(part.stop, shape[0], "Painting the phantom")
    _scan(hu, geometry, standard, patient, noise_hu)
    name = f"phantom_{seed}"
    voxels = np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)
    return Phantom(Volume(voxels, geometry, name), Volume(labels, geometry.copy(), f"{name}_labels"))


@lru_cache(maxsize=4)
def _grown_patient(seed: int, contrast: bool) -> tuple[Patient, np.ndarray]:
    """A patient and its lung vessels, cached: growing them takes longer than painting a small grid."""
    patient = Patient(seed, contrast)
    return patient, organs.lung_trees(patient)


def _scan(
    hu: np.ndarray, geometry: np.ndarray, standard: np.ndarray, patient: Patient, noise_hu: float
) -> None:
    """Add blur, beam hardening and noise, in place; `standard` is the geometry at the patient's standard size."""
    spacings = np.linalg.norm(geometry[:3, :3], axis=0)
    # Standard deviations of the blur: a share of the slice distance for the slice profile, mm for the optics.
    for axis, width in enumerate((0.35 * spacings[2], 0.55, 0.55)):
        if hu.shape[axis] > 1:
            sigma = max(width / spacings[2 - axis], 0.35)
            gaussian_filter1d(hu, sigma, axis=axis, output=hu, mode="nearest", truncate=2.6)
    draw = patient.random(6)
    for part, (x, y, z), _ in _slabs(hu.shape, standard):
        # Beam hardening: a few HU less in the middle. Air is not affected.
        bias = 3.0 - 6.0 * np.exp(-((x / 120) ** 2) - (y / 90) ** 2) + 1.5 * np.sin(z * 0.021 + x * 0.013)
        hu[part] += bias * np.clip((hu[part] + 1000) * 1e-3, 0, 1)
        # In-plane noise has the grain of filtered back-projection: fine minus coarse grain has a spectrum
        # that vanishes towards low frequencies (Riederer, Pelc and Chesler 1978, Phys. Med. Biol. 23:446).
        white = draw.standard_normal(hu[part].shape).astype(np.float32)
        fine = gaussian_filter(white, (0.45, 0.62, 0.62), truncate=3)
        grain = 2.84 * (fine - 0.7 * gaussian_filter(fine, (0, 1.5, 1.5), truncate=2.5))
        # Noise is lower where rays pass less tissue.
        level = 0.42 + 0.58 * np.exp(-((x / 150) ** 2) - ((y + 5) / 120) ** 2)
        hu[part] += grain * noise_hu * level * PROFILES.noise(z) * (1 + 0.006 * patient.fat)


def _slabs(shape: tuple[int, ...], geometry: np.ndarray) -> Iterator[tuple[slice, Points, np.ndarray]]:
    """Slabs of slices, with the positions of their voxels and their geometry."""
    thickness = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        part, moved = slice(start, min(start + thickness, shape[0])), geometry.copy()
        moved[:3, 3] += start * moved[:3, 2]
        yield part, grid_points((part.stop - start, shape[1], shape[2]), moved), moved


def _paint(canvas: Canvas, patient: Patient, tree: np.ndarray) -> None:
    """Paint all structures, each inside a box in RAS mm; later ones cover earlier ones."""
    middle, chest = ((-150, -75, -420), (150, 75, 340)), ((-145, -110, -100), (145, 115, 210))
    everything, belly = ((-1e4, -1e4, -1e4), (1e4, 1e4, 1e4)), ((-130, -90, -420), (130, 100, 30))
    for (low, high), paint in (
        (everything, body.paint_trunk),
        (belly, organs.paint_belly),
        (((-145, -110, -130), (-40, 60, 20)), organs.paint_spleen),
        (((-105, -85, -190), (105, 15, -30)), organs.paint_kidneys),
        (((-85, -100, -175), (145, 110, 35)), organs.paint_liver),
        (chest, organs.paint_lungs),
        (chest, lambda c, p: organs.paint_tree(c, tree, min(p.hu["blood"], 130.0))),
        (middle, organs.paint_trunks),
        (((-100, -55, -60), (70, 85, 95)), organs.paint_heart),
        (((-175, -140, 5), (175, 90, 205)), body.paint_girdles),
        (((-180, -140, -420), (180, 120, -200)), body.paint_girdles),
        (((-190, -150, -190), (190, 150, 230)), body.paint_ribs),
        (((-36, 30, -40), (36, 150, 165)), body.paint_sternum),
        (((-48, -128, -1e4), (48, 12, 1e4)), body.paint_spine),
    ):
        part = canvas.crop(low, high)
        if part is not None:
            paint(part, patient)
