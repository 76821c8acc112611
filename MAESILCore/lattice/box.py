"""Boxes of patches on the patch lattice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

from MAESILCore.errors import ConfigError

Triple = tuple[int, int, int]


def is_number(value: object) -> bool:
    """Whether this is a real number, of any type."""
    return isinstance(value, Real)


def is_whole(value: object) -> bool:
    """Whether this is a whole number, of any type."""
    return isinstance(value, Real) and float(value).is_integer()


def as_triple(value: int | Sequence[int], name: str, least: int) -> Triple:
    """One integer, or three along (k, j, i), as a triple.

    Raises:
        ConfigError: the value is not one or three whole numbers of at least `least`.
    """
    numbers = [value] * 3 if not isinstance(value, Iterable) else list(value)
    if len(numbers) != 3 or any(not is_whole(number) or number < least for number in numbers):
        raise ConfigError(
            f"The {name} must be one or three whole numbers of at least {least}, but it is {value!r}."
        )
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def per_axis(values: Iterable[int]) -> Triple:
    """Three values along k, j, i as a triple."""
    k, j, i = values
    return k, j, i


@dataclass(frozen=True)
class LatticeBox:
    """A box of patches on the patch lattice, from `start` to `stop` (exclusive), both (k, j, i)."""

    start: Triple
    stop: Triple

    @property
    def shape(self) -> Triple:
        """Patches along k, j, i."""
        return per_axis(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index into an array on the lattice."""
        k, j, i = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return k, j, i

    def voxel_slices(self, patch_size: Triple, shape: Triple) -> tuple[slice, slice, slice]:
        """The box as an index into a volume of `shape`; a partial last patch ends with the volume."""
        bounds = zip(self.start, self.stop, patch_size, shape, strict=True)
        k, j, i = (slice(a * p, min(b * p, n)) for a, b, p, n in bounds)
        return k, j, i

    def inside(self, outer: LatticeBox, patch_size: Triple) -> tuple[slice, slice, slice]:
        """The voxels of this box as an index into the voxels of `outer`, which contains it."""
        bounds = zip(self.start, self.stop, outer.start, patch_size, strict=True)
        k, j, i = (slice((a - o) * p, (b - o) * p) for a, b, o, p in bounds)
        return k, j, i
