"""Masks on the patch lattice: drawn by a strategy, or from a region of interest."""

from MAESILCore.masking.mask import FIRST_STAGE, SECOND_STAGE, VISIBLE, Mask
from MAESILCore.masking.roi import roi_mask_from_box, roi_mask_from_label, roi_mask_from_ras_box
from MAESILCore.masking.strategy import MODES, OPTIONS_OF, MaskStrategy

__all__ = [
    "FIRST_STAGE",
    "MODES",
    "OPTIONS_OF",
    "SECOND_STAGE",
    "VISIBLE",
    "Mask",
    "MaskStrategy",
    "roi_mask_from_box",
    "roi_mask_from_label",
    "roi_mask_from_ras_box",
]
