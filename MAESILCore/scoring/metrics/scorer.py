"""All scores of one scan, for several candidates with the same hidden patches."""

from __future__ import annotations

import numpy as np

from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILCore.scoring.metrics.blockiness import measure_steps
from MAESILCore.scoring.metrics.perceptual import perceptual_distance
from MAESILCore.scoring.metrics.similarity import psnr_of, ssim_map

#: Least body share of the hidden voxels for a superpatch to count: pure air has an infinite PSNR.
LEAST_BODY_SHARE = 0.01

#: Scores of each candidate in each window; undefined ones are None.
SCORES = (
    "psnr_hidden",
    "ssim_hidden",
    "psnr_hidden_body",
    "ssim_hidden_body",
    "psnr_hidden_pooled",
    "psnr_full",
    "ssim_full",
    "psnr_unmasked",
    "ssim_unmasked",
    "mae_hu_hidden_body",
    "bias_hu_hidden_body",
    "bias_hu_hidden_deep",
    "blockiness",
    "blockiness_original",
    "blockiness_ratio",
    "seams",
    "seams_original",
    "seams_ratio",
    "lpips",
)


class Scorer:
    """Scores candidates against one original in one window.

    A candidate is a mosaic: the original at visible voxels, the prediction at hidden ones.
    - `psnr_*`: mean over those superpatches of the overlap-free partition whose hidden voxels are at least 1 % body
      (docs/methods.md, Hidden voxels first). `psnr_hidden_pooled`: from the mean squared error over all hidden voxels.
    - `ssim_*`: mean of the SSIM map.
    - `*_hidden`: over hidden voxels; `*_hidden_body`: over those inside the body; `*_full`: over all voxels;
      `*_unmasked`: over all voxels of a pass without a mask.
    - `mae_hu_hidden_body`, `bias_hu_hidden_body`: mean absolute and mean error in HU; both volumes are clipped to the
      window. `bias_hu_hidden_deep`: the latter without the skin, see `below_skin`.
    - `blockiness`: see `Steps.between_hidden`; `seams`: see `Steps.at_seams`; `*_ratio`: divided by the original's.
    """

    def __init__(
        self,
        original: np.ndarray,
        window: Window,
        mask: Mask,
        grid: SuperpatchGrid,
        body: np.ndarray,
        deep: np.ndarray | None = None,
    ) -> None:
        """Precompute the parts common to all candidates.

        Args:
            original: (k, j, i) in HU.
            window: window of the scores.
            mask: the mask of the candidates.
            grid: the superpatch grid.
            body: (k, j, i) bool.
            deep: (k, j, i) bool, the result of `below_skin`; without it the score that needs it is None.
        """
        self.window, self.grid, self.body, self.deep = window, grid, body, deep
        self.original = window.apply(original)
        self.hidden = grid.expand(mask.hidden)
        self.hidden_body = self.hidden & body
        self._hidden_deep = self.hidden & (deep if deep is not None else False)
        boxes = [
            grid.box(n).voxel_slices(grid.patch_size, grid.shape)
            for n in range(len(grid))
            if mask.crop(grid.box(n)).stages.any() or not mask.stages.any()
        ]
        # Without hidden voxels, as for a model that sees everything, all voxels count.
        counted, counted_body = (self.hidden, self.hidden_body) if mask.stages.any() else (body | True, body)
        self._parts = [
            box for box in boxes if counted_body[box].sum() >= max(1.0, LEAST_BODY_SHARE * counted[box].sum())
        ]
        self.without_body = len(boxes) - len(self._parts)
        self._steps = measure_steps(self.original, self.hidden, grid)

    @property
    def scored(self) -> int:
        """Number of superpatches in the mean PSNR."""
        return len(self._parts)

    def score(self, candidate: np.ndarray, unmasked: np.ndarray | None = None) -> dict[str, float | None]:
        """All of `SCORES`.

        Args:
            candidate: (k, j, i) float32 in [0, 1], the mosaic.
            unmasked: (k, j, i) float32 in [0, 1], a pass without a mask, if any.

        Raises:
            ConfigError: the shapes differ.
        """
        if candidate.shape != self.original.shape:
            message = f"The candidate has the shape {candidate.shape}, the original {self.original.shape}."
            raise ConfigError(message)
        scores: dict[str, float | None] = dict.fromkeys(SCORES)
        scores |= self._errors(candidate) | self._similarities(candidate) | self._borders(candidate)
        scores["lpips"] = perceptual_distance(self.original, candidate)
        if unmasked is not None:
            error = (unmasked - self.original) ** 2
            scores["psnr_unmasked"] = self._psnr(error, None)
            scores["ssim_unmasked"] = float(ssim_map(self.original, unmasked).mean(dtype=np.float64))
        return scores

    def _errors(self, candidate: np.ndarray) -> dict[str, float | None]:
        error = candidate - self.original
        in_hu, deep_in_hu = (
            error[region].astype(np.float64) * self.window.width
            for region in (self.hidden_body, self._hidden_deep)
        )
        squares = error**2
        pooled = _mean(squares[self.hidden])
        return {
            "psnr_hidden": self._psnr(squares, self.hidden),
            "psnr_hidden_body": self._psnr(squares, self.hidden_body),
            "psnr_hidden_pooled": None if pooled is None else psnr_of(pooled),
            "psnr_full": self._psnr(squares, None),
            "mae_hu_hidden_body": _mean(np.abs(in_hu)),
            "bias_hu_hidden_body": _mean(in_hu),
            "bias_hu_hidden_deep": _mean(deep_in_hu),
        }

    def _psnr(self, squares: np.ndarray, region: np.ndarray | None) -> float | None:
        """Mean PSNR over the superpatches that count, of all their voxels or those in a region."""
        values = [squares[box] if region is None else squares[box][region[box]] for box in self._parts]
        return _mean(np.array([psnr_of(float(part.mean(dtype=np.float64))) for part in values if part.size]))

    def _similarities(self, candidate: np.ndarray) -> dict[str, float | None]:
        similarity = ssim_map(self.original, candidate)
        return {
            "ssim_hidden": _mean(similarity[self.hidden]),
            "ssim_hidden_body": _mean(similarity[self.hidden_body]),
            "ssim_full": _mean(similarity),
        }

    def _borders(self, candidate: np.ndarray) -> dict[str, float | None]:
        steps, original = measure_steps(candidate, self.hidden, self.grid), self._steps
        return {
            "blockiness": steps.between_hidden,
            "blockiness_original": original.between_hidden,
            "blockiness_ratio": _ratio(steps.between_hidden, original.between_hidden),
            "seams": steps.at_seams,
            "seams_original": original.at_seams,
            "seams_ratio": _ratio(steps.at_seams, original.at_seams),
        }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None


def _ratio(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else value / reference
