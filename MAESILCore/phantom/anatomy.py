"""The patient: proportions, surfaces between organs, tissue values and texture, drawn from one seed."""

from __future__ import annotations

import json
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from MAESILCore.phantom.canvas import Points, curve, ellipse, join

TABLES = json.loads((files("MAESILCore.phantom") / "anatomy.json").read_text(encoding="utf-8"))
#: Sizes of body and organs as functions of the height, mm.
PROFILES = SimpleNamespace(**{name: curve(knots) for name, knots in TABLES["profiles"].items()})
#: Paths of tubes, rows (x, y, z, radius), mm.
TUBES: dict[str, list[list[list[float]]]] = TABLES["tubes"]
FAT = -104.0
#: HU with contrast agent (portal-venous phase) and without; in the second group they grow with the dose.
_ORGANS = {"muscle": (62, 54), "liver": (108, 58), "spleen": (118, 48), "bowel": (85, 38)}
_BLOOD = {"artery": (178, 43), "vein": (152, 42), "blood": (165, 44), "heart": (112, 48), "kidney": (178, 34)}
#: Cell size of the texture, mm.
_GRAIN = 2.6
_SQUARENESS = 2.3


class Patient:
    """One patient. The frame is RAS in mm; the right dome of the diaphragm is near z = 10."""

    def __init__(self, seed: int, contrast: bool) -> None:
        self.seed, self.contrast = seed, contrast
        draw = self.random(1)
        self.stature = (draw.uniform(0.93, 1.06), draw.uniform(0.92, 1.07), draw.uniform(0.94, 1.05))
        self.fat = draw.uniform() ** 1.5 * 24.0 + 3.0
        self.female = draw.uniform() < 0.5
        self.heart_size, self.liver_size = draw.uniform(0.94, 1.08), draw.uniform(0.9, 1.1)
        self.right_dome = draw.uniform(4.0, 16.0)
        self.left_dome = self.right_dome - draw.uniform(5.0, 13.0)
        self.vertebra_shift = draw.uniform(-4.0, 4.0)
        self.spine_x = curve([(z, draw.uniform(-2.5, 2.5)) for z in range(-300, 301, 100)])
        #: The y of the back on the mattress, mm.
        self.back = -112.5 - 0.35 * self.fat
        shift, dose = draw.uniform(-6, 6), draw.uniform(0.85, 1.25) if contrast else 1.0
        self.hu = {name: hu[not contrast] + shift for name, hu in _ORGANS.items()}
        self.hu |= {name: hu[not contrast] * dose for name, hu in _BLOOD.items()}
        self._wave_numbers = (2 * np.pi / draw.uniform(38.0, 108.0, (5, 3, 3))).tolist()
        noise = self.random(2).standard_normal((72, 72, 72)).astype(np.float32)
        fine, coarse = (gaussian_filter(noise, sigma, mode="wrap") for sigma in (0.7, 2.4))
        mixed = fine / fine.std() + 0.8 * coarse / coarse.std()
        self._texture = mixed / mixed.std()
        self._phases = draw.uniform(0, 2 * np.pi, (5, 3, 3)).tolist()

    def random(self, purpose: int) -> np.random.RandomState:
        """Random numbers for one purpose; NumPy keeps this stream the same in all versions (NEP 19)."""
        return np.random.RandomState([self.seed % 2**32, (self.seed >> 32) % 2**32, purpose])

    def wave(self, points: Points, kind: int = 0) -> np.ndarray:
        """A smooth field from about -1 to 1 that makes surfaces irregular."""
        products = []
        for numbers, phases in zip(self._wave_numbers[kind], self._phases[kind], strict=True):
            x, y, z = (np.sin(c * n + p) for c, n, p in zip(points, numbers, phases, strict=True))
            products.append(x * y * z)
        return np.asarray(0.8 * sum(products))

    def texture(self, points: Points) -> np.ndarray:
        """Smooth noise of standard deviation 1, fixed to the patient, not to the grid; float32 (k, j, i)."""
        places = np.stack(np.broadcast_arrays(*points)) * (1 / _GRAIN)
        return np.asarray(map_coordinates(self._texture, places, order=1, mode="grid-wrap"))

    def diaphragm(self, points: Points) -> np.ndarray:
        """Height of the diaphragm at each (x, y), mm."""
        right = _dome(points, (64, 12), self.right_dome, (70, 104, 80))
        left = _dome(points, (-66, 8), self.left_dome, (68, 98, 78))
        middle = _dome(points, (-4, 26), self.left_dome - 9, (70, 84, 62))
        flat = Points(points.x, points.y, points.z * 0)
        return -join(join(-right, -left, 20.0), -middle, 12.0) + 2.5 * self.wave(flat, 1)

    def spine_envelope(self, points: Points) -> np.ndarray:
        """A smooth distance to vertebral bodies and rib heads, for structures beside the spine."""
        x, y, z = points.x - self.spine_x(points.z), points.y - PROFILES.spine_y(points.z), points.z
        bodies = ellipse((x, y), (PROFILES.spine_width(z) + 2, PROFILES.spine_depth(z) + 2))
        return join(bodies, ellipse((x, y + 22), (PROFILES.spine_width(z) + 11, 13.0)), 16.0)


def _dome(points: Points, centre: tuple[int, int], top: float, radii: tuple[int, int, int]) -> np.ndarray:
    """Height of one half of the diaphragm, mm; `radii` are lateral, anterior and posterior."""
    y = points.y - centre[1]
    depth = np.where(y > 0, np.float32(radii[1]), np.float32(radii[2]))
    square = ((points.x - centre[0]) / radii[0]) ** 2 + (y / depth) ** 2
    inner = np.minimum(square, 0.94)
    return np.asarray(top - 72 * (1 - np.sqrt(1 - inner)) - 62 * (square - inner))


def superellipse(x: np.ndarray, y: np.ndarray, width: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Distance to the outline along the ray from the centre, mm, negative inside."""
    gauge = np.abs(x / width) ** _SQUARENESS + np.abs(y / depth) ** _SQUARENESS
    return np.asarray(np.sqrt(x * x + y * y) * (1 - np.maximum(gauge, 1e-6) ** (-1 / _SQUARENESS)))


def cage_wall(points: Points) -> np.ndarray:
    """Distance to the inner surface of the rib cage along the ray from its axis, mm, negative inside."""
    x, y, z = points
    return superellipse(x, y - PROFILES.cage_y(z), PROFILES.cage_width(z), PROFILES.cage_depth(z))


def cage_point(angle: float, z: float, offset: float, side: int) -> tuple[float, float, float]:
    """The point `offset` mm outside the cage; the angle runs from the back (0) to the front (180 degrees)."""
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    shares = np.abs([sine / PROFILES.cage_width(z), cosine / PROFILES.cage_depth(z)]) ** _SQUARENESS
    radius = float(shares.sum()) ** (-1 / _SQUARENESS) + offset
    return side * radius * sine, float(PROFILES.cage_y(z)) - radius * cosine, z
