"""Sampling of masks for a superpatch or a volume, and coverages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import modes
from MAESILCore.lattice.box import as_triple, is_number, is_whole
from MAESILCore.lattice.grid import SuperpatchGrid
from MAESILCore.lattice.mask import FIRST_STAGE, VISIBLE, Mask

#: The fields of each mode.
OPTIONS_OF: dict[str, tuple[str, ...]] = {
    "random": ("ratio",),
    "block": ("ratio", "block_size"),
    "nested": ("plane_ratio", "axis_ratio", "plane_axis"),
    "product": ("plane_ratio", "axis_ratio", "plane_axis"),
    "plane": ("ratio", "plane_axis"),
    "axis": ("ratio", "plane_axis"),
}
MODES = tuple(OPTIONS_OF)

#: Draws the stages of a lattice from the kept patches, the random source, and the mode's fields without the plane axis.
_DRAW: dict[str, Callable[..., np.ndarray]] = {
    "random": modes.draw_random,
    "block": modes.draw_block,
    "nested": modes.draw_nested,
    "product": modes.draw_product,
    "plane": modes.draw_plane,
    "axis": modes.draw_axis,
}


@dataclass(frozen=True)
class MaskStrategy:
    """Samples masks with exact counts, the same on every machine (docs/methods.md, The dual mask).

    `random` and `block` keep `round(N * (1 - ratio))` of N patches; `plane` and `axis` keep that share of the planes or
    columns. `nested` keeps `round(round(H * W * (1 - plane_ratio)) * (1 - axis_ratio))` patches per plane. `product`
    keeps a rounded share of planes times a rounded share of columns. At least one patch stays visible; of two or more
    patches, at least one is hidden. Modes without a choice (one plane, one column) hide single patches instead.

    Attributes:
        mode: random, block, nested, product, plane or axis.
        ratio: hidden share in random, block, plane and axis.
        plane_ratio: share hidden by the plane stage: in-plane positions in nested, whole planes in product.
        axis_ratio: share hidden by the axis stage: the rest of each plane in nested, columns in product.
        block_size: edge of a block in patches.
        plane_axis: axis normal to the planes and along the columns: k, j or i.

    >>> mask = MaskStrategy("nested").sample((16, 16, 16), seed=0)
    >>> mask.hidden_fraction, len(mask.visible_indices)
    (0.75, 1024)
    """

    mode: str = "nested"
    ratio: float = 0.75
    plane_ratio: float = 0.5
    axis_ratio: float = 0.5
    block_size: int = 2
    plane_axis: str = "k"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"There is no mask mode {self.mode!r}; choose one of {', '.join(MODES)}.")
        if self.plane_axis not in ("k", "j", "i"):
            raise ConfigError(f"The plane axis must be k, j or i, but it is {self.plane_axis!r}.")
        if not is_whole(self.block_size) or self.block_size < 1:
            raise ConfigError(f"The block size must be 1, 2, 3, ... patches, but it is {self.block_size}.")
        object.__setattr__(self, "block_size", int(self.block_size))
        self._check_ratios()

    def _check_ratios(self) -> None:
        if not is_number(self.ratio) or not 0.0 < self.ratio < 1.0:
            raise ConfigError(
                f"The mask ratio must lie between 0 and 1 (both excluded), but it is {self.ratio}."
            )
        for name, ratio in (("plane", self.plane_ratio), ("axis", self.axis_ratio)):
            if not is_number(ratio) or not 0.0 <= ratio < 1.0:
                raise ConfigError(f"The {name} ratio must be at least 0 and below 1, but it is {ratio}.")
        if self.plane_ratio == self.axis_ratio == 0.0:
            raise ConfigError(
                "The plane ratio and the axis ratio are both 0, which hides nothing; raise one of them."
            )

    @property
    def hidden_share(self) -> float:
        """The hidden share before rounding to whole patches."""
        if self.mode in ("nested", "product"):
            return 1.0 - (1.0 - self.plane_ratio) * (1.0 - self.axis_ratio)
        return self.ratio

    @property
    def options(self) -> dict[str, str | float | int]:
        """The mode and its fields by name; a plane axis of k, the default, is left out."""
        used = {name: getattr(self, name) for name in OPTIONS_OF[self.mode]}
        if used.get("plane_axis") == "k":
            del used["plane_axis"]
        return {"mode": self.mode, **used}

    def sample(self, lattice_shape: Sequence[int], seed: int) -> Mask:
        """Sample a mask for a lattice of (Dk, Dj, Di) patches."""
        shape = as_triple(lattice_shape, "lattice shape", 1)
        return Mask(self._draw(np.zeros(shape, dtype=np.int64), modes.source_of(_checked(seed))))

    def sample_grid(self, grid: SuperpatchGrid, seed: int) -> Mask:
        """Sample a mask for a volume, per superpatch; superpatches of a single patch are sampled together."""
        kept = np.zeros(grid.lattice_shape, dtype=np.int64)
        return Mask(self._draw_grid(grid, kept, _checked(seed), ()))

    def coverage(self, grid: SuperpatchGrid, count: int, seed: int) -> list[Mask]:
        """At least `count` masks that together hide every patch at least once.

        The masks are balanced: patches that were visible least often are kept first. With the default ratios and four
        masks, every patch is hidden at least twice. A patch that is alone in its superpatch is hidden in every mask,
        even if the volume has no other patch.
        """
        if count < 1:
            raise ConfigError(f"A coverage needs at least one mask, but got {count}.")
        kept = np.zeros(grid.lattice_shape, dtype=np.int64)
        masks: list[Mask] = []
        while len(masks) < count or kept.max() == len(masks):
            masks.append(self.sample_after(grid, kept, seed, len(masks)))
            kept += masks[-1].stages == VISIBLE
        return masks

    def sample_after(self, grid: SuperpatchGrid, kept: np.ndarray, seed: int, number: int) -> Mask:
        """The next mask of a coverage, in which patches that were visible most often are hidden first.

        Args:
            grid: the division of the volume.
            kept: (Dk, Dj, Di) int64, how often each patch was visible.
            seed: seed of the coverage.
            number: the number of masks before this one.
        """
        return Mask(self._draw_grid(grid, kept, _checked(seed), (number,), lone_hidden=True))

    def _draw_grid(
        self,
        grid: SuperpatchGrid,
        kept: np.ndarray,
        seed: int,
        path: tuple[int, ...],
        lone_hidden: bool = False,
    ) -> np.ndarray:
        """Stages for all superpatches, (Dk, Dj, Di)."""
        stages = np.full(kept.shape, FIRST_STAGE, dtype=np.uint8)
        single = np.zeros(kept.shape, dtype=bool)
        for index in range(len(grid)):
            box = grid.box(index)
            if box.shape == (1, 1, 1):
                single[box.slices] = True
                continue
            source = modes.source_of(seed, *path, index)
            stages[box.slices] = self._draw(kept[box.slices], source)
        singles = int(single.sum())
        if singles > 1 or (singles == 1 and not lone_hidden):
            pool = kept[single].reshape(1, 1, singles)
            source = modes.source_of(seed, *path, len(grid))
            stages[single] = modes.draw_random(pool, source, self.hidden_share).ravel()
        return stages

    def _draw(self, kept: np.ndarray, source: np.random.PCG64) -> np.ndarray:
        """Stages for one lattice, (Dk, Dj, Di); `kept` counts how often each patch was visible before."""
        depth_axis = "kji".index(self.plane_axis)
        planes = np.moveaxis(kept, depth_axis, 0)
        return np.moveaxis(self._draw_planes(planes, source), 0, depth_axis)

    def _draw_planes(self, kept: np.ndarray, source: np.random.PCG64) -> np.ndarray:
        values = [getattr(self, name) for name in OPTIONS_OF[self.mode] if name != "plane_axis"]
        return _DRAW[self.mode](kept, source, *values)


def _checked(seed: int) -> int:
    if not is_whole(seed) or seed < 0:
        raise ConfigError(f"The seed must be a whole number of at least 0, but it is {seed!r}.")
    return int(seed)
