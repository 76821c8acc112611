"""Scores of a reconstruction: PSNR, SSIM, HU error and blockiness, over all voxels, hidden ones, and the body."""

from MAESILCore.scoring.metrics.blockiness import Steps, measure_steps
from MAESILCore.scoring.metrics.body import below_skin, body_mask
from MAESILCore.scoring.metrics.perceptual import lpips_obstacle, perceptual_distance
from MAESILCore.scoring.metrics.scorer import SCORES, Scorer
from MAESILCore.scoring.metrics.similarity import HIGHEST_PSNR, psnr_of, ssim_map

__all__ = [
    "HIGHEST_PSNR",
    "SCORES",
    "Scorer",
    "Steps",
    "below_skin",
    "body_mask",
    "lpips_obstacle",
    "measure_steps",
    "perceptual_distance",
    "psnr_of",
    "ssim_map",
]
