"""The patient: proportions, curves of the body, tissue values and waviness, all drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from MAESILCore.phantom.sampling import Points

_LOWEST, _HIGHEST, _STEP = -420.0, 420.0, 1 / 32

#: Edge of a cell of the texture, mm.
_GRAIN = 2.6


class Draw:
    """Even random numbers that are the same with every numpy: raw PCG64 bits, scaled here."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number in [low, high)."""
        return low + (high - low) * float(self.array(1)[0])

    def array(self, *shape: int) -> np.ndarray:
        """Numbers in [0, 1), float64."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        return ((raw >> np.uint64(11)) * 2.0**-53).reshape(shape)

    def normal(self, *shape: int) -> np.ndarray:
        """Bell-shaped float32 numbers of mean 0 and deviation 1: sums of the four quarters of each draw."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        quarter = np.uint64(0xFFFF)
        total = (raw & quarter).astype(np.float32)
        for shift in (16, 32, 48):
            total += ((raw >> np.uint64(shift)) & quarter).astype(np.float32)
        deviation = 65536.0 * np.sqrt(4 / 12)
        return ((total - np.float32(2 * 65535.0)) * np.float32(1 / deviation)).reshape(shape)


class Curve:
    """A smooth function of the height z, given at a few heights and constant beyond them."""

    def __init__(self, *knots: tuple[float, float]) -> None:
        self._knots = sorted(knots)

    @cached_property
    def _values(self) -> np.ndarray:
        from scipy.interpolate import PchipInterpolator

        heights, values = (np.array(column) for column in zip(*self._knots, strict=True))
        inside = np.clip(np.arange(_LOWEST, _HIGHEST + _STEP, _STEP), heights[0], heights[-1])
        return np.asarray(PchipInterpolator(heights, values)(inside), dtype=np.float32)

    @cached_property
    def _slopes(self) -> np.ndarray:
        return np.asarray(np.gradient(self._values.astype(np.float64), _STEP), dtype=np.float32)

    def __call__(self, z: np.ndarray | float) -> np.ndarray:
        """The value at each height, float32."""
        return np.asarray(self._values.take(self._rows(z), mode="clip"))

    def slope(self, z: np.ndarray | float) -> np.ndarray:
        """The derivative at each height, float32."""
        return np.asarray(self._slopes.take(self._rows(z), mode="clip"))

    @staticmethod
    def _rows(z: np.ndarray | float) -> np.ndarray:
        return np.asarray(
            (np.asarray(z, dtype=np.float32) - np.float32(_LOWEST)) * np.float32(1 / _STEP), dtype=np.int32
        )


@dataclass(frozen=True)
class Tissues:
    """HU of a portal-venous scan, or of one without contrast agent."""

    muscle: float
    blood: float
    myocardium: float
    arterial: float
    venous: float
    liver: float
    spleen: float
    kidney: float
    pancreas: float
    bowel: float
    fat: float = -104.0
    fluid: float = 14.0


def _tissues(draw: Draw, contrast: bool) -> Tissues:
    shift = draw.uniform(-6, 6)
    dose = draw.uniform(0.85, 1.25)
    if contrast:
        return Tissues(
            muscle=62 + shift, blood=165 * dose, myocardium=112 * dose,
            arterial=178 * dose, venous=152 * dose,
            liver=108 + shift, spleen=118 + shift, kidney=178 * dose, pancreas=92 + shift, bowel=85 + shift,
        )  # fmt: skip
    return Tissues(
        muscle=54 + shift / 2, blood=44, myocardium=48, arterial=43, venous=42,
        liver=58 + shift, spleen=48 + shift / 2, kidney=34, pancreas=40, bowel=38,
    )  # fmt: skip


class Patient:
    """One person. Right is +x, front is +y, up is +z, mm; the right dome of the diaphragm is near z = 10.

    Args:
        seed: Who it is.
        contrast: Whether contrast agent was given.
    """

    def __init__(self, seed: int, contrast: bool) -> None:
        self.seed = seed
        draw = Draw(seed, 1)
        self.stature = (draw.uniform(0.93, 1.06), draw.uniform(0.92, 1.07), draw.uniform(0.94, 1.05))
        self.fat = draw.uniform(0.0, 1.0) ** 1.5 * 24.0 + 3.0
        self.female = draw.uniform() < 0.5
        self.heart_size = draw.uniform(0.94, 1.08)
        self.right_dome = draw.uniform(4.0, 16.0)
        self.left_dome = self.right_dome - draw.uniform(5.0, 13.0)
        self.liver_size = draw.uniform(0.9, 1.1)
        self.vertebra_shift = draw.uniform(-4.0, 4.0)
        self.tissues = _tissues(draw, contrast)
        waves = draw.array(5, 3, 6)
        self._wave_lengths = 38.0 + 70.0 * waves[..., :3]
        self._wave_phases = 2 * np.pi * waves[..., 3:]
        self.spine_x = Curve(*((float(z), draw.uniform(-2.5, 2.5)) for z in range(-300, 301, 100)))
        self.spine_y = Curve(
            (320, -20), (190, -31), (150, -42), (100, -52), (50, -56), (0, -52), (-50, -42), (-100, -32),
            (-150, -25),
            (-200, -23), (-250, -31), (-310, -52),
        )  # fmt: skip
        # Inside of the rib cage and, below it, of the abdominal wall.
        self.cage_width = Curve(
            (206, 9), (200, 22), (188, 42), (172, 63), (150, 87), (120, 108), (80, 123), (40, 131),
            (0, 134), (-40, 133),
            (-80, 129), (-130, 124), (-200, 122), (-260, 128), (-320, 128),
        )  # fmt: skip
        self.cage_depth = Curve(
            (206, 7), (200, 15), (188, 27), (172, 40), (150, 57), (120, 74), (80, 87), (40, 93), (0, 95),
            (-40, 92),
            (-80, 85), (-130, 75), (-200, 72), (-260, 74), (-320, 74),
        )  # fmt: skip
        self.cage_y = Curve(
            (206, -24), (188, -19), (150, -9), (100, -2), (50, 1), (0, 2), (-40, 3), (-80, 6), (-130, 13),
            (-200, 17),
            (-320, 10),
        )  # fmt: skip
        self.body_width = Curve(
            (320, 60), (250, 60), (228, 66), (210, 88), (192, 132), (172, 163), (140, 173), (90, 170),
            (40, 164), (0, 160),
            (-60, 153), (-120, 147), (-180, 148), (-240, 162), (-320, 176),
        )  # fmt: skip
        self.body_depth = Curve(
            (320, 62), (240, 61), (210, 68), (190, 78), (165, 89), (130, 99), (90, 107), (40, 112),
            (0, 112), (-60, 107),
            (-120, 103), (-180, 103), (-240, 110), (-320, 116),
        )  # fmt: skip
        self.body_y = Curve(
            (320, -14), (230, -20), (190, -19), (150, -12), (100, -6), (40, -3), (-60, -2), (-320, -4)
        )

    def waviness(self, points: Points, kind: int = 0) -> np.ndarray:
        """A slowly changing number of about -1 to 1 that keeps surfaces from looking turned on a lathe."""
        total: np.ndarray | None = None
        for length, phase in zip(self._wave_lengths[kind], self._wave_phases[kind], strict=True):
            waves = [
                np.sin(c * np.float32(2 * np.pi / n) + np.float32(p))
                for c, n, p in zip(points, length, phase, strict=True)
            ]
            product = waves[0] * waves[1] * waves[2]
            total = product if total is None else total + product
        assert total is not None
        return np.asarray(total * np.float32(0.8), dtype=np.float32)

    @cached_property
    def _texture_lattice(self) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        noise = Draw(self.seed, 2).normal(72, 72, 72)
        fine = gaussian_filter(noise, 0.7, mode="wrap")
        coarse = gaussian_filter(noise, 2.4, mode="wrap")
        mixed = fine / fine.std() + 0.8 * coarse / coarse.std()
        return np.asarray(mixed / mixed.std(), dtype=np.float32)

    def texture(self, points: Points) -> np.ndarray:
        """Smooth random texture of deviation 1 that belongs to the patient, not to the grid."""
        places = [c * np.float32(1.0 / _GRAIN) for c in points]
        axes = [[axis for axis in range(3) if c.shape[axis] > 1] for c in points]
        if all(len(a) == 1 for a in axes) and len({a[0] for a in axes}) == 3:
            return self._texture_along_axes(places, [a[0] for a in axes])
        from scipy.ndimage import map_coordinates

        shape = np.broadcast_shapes(*(c.shape for c in points))
        stacked = np.stack([np.broadcast_to(c, shape) for c in places])
        return np.asarray(map_coordinates(self._texture_lattice, stacked, order=1, mode="grid-wrap"))

    def _texture_along_axes(self, places: list[np.ndarray], axes: list[int]) -> np.ndarray:
        """The same linear interpolation, one axis after the other and so many times as fast.

        Args:
            places: Positions in the lattice along x, y and z.
            axes: The array axis along which each of them varies.
        """
        result = self._texture_lattice.transpose(np.argsort(axes))
        # The short axes first keep what lies in between small.
        for number in sorted(range(3), key=lambda n: places[n].size):
            axis, flat = axes[number], places[number].ravel()
            floor = np.floor(flat)
            index, size = floor.astype(int), result.shape[axis]
            sizes = [1, 1, 1]
            sizes[axis] = -1
            share = (flat - floor).astype(np.float32).reshape(sizes)
            low, high = result.take(index % size, axis), result.take((index + 1) % size, axis)
            high -= low
            high *= share
            high += low
            result = high
        return np.asarray(result)
