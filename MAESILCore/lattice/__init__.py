"""The lattice of a volume: how it is cut into superpatches and patches, and which of them a mask hides."""

from MAESILCore.lattice.assembler import Assembler
from MAESILCore.lattice.box import LatticeBox, Triple, as_triple, is_number, is_whole, per_axis
from MAESILCore.lattice.featuremap import FeatureMap, pca_colours, similarity
from MAESILCore.lattice.grid import SuperpatchGrid, usual_overlap
from MAESILCore.lattice.mask import FIRST_STAGE, SECOND_STAGE, VISIBLE, Mask
from MAESILCore.lattice.regions import roi_mask_from_box, roi_mask_from_label, roi_mask_from_ras_box
from MAESILCore.lattice.strategy import MODES, OPTIONS_OF, MaskStrategy
from MAESILCore.lattice.tiling import Tiling

__all__ = [
    "FIRST_STAGE",
    "MODES",
    "OPTIONS_OF",
    "SECOND_STAGE",
    "VISIBLE",
    "Assembler",
    "FeatureMap",
    "LatticeBox",
    "Mask",
    "MaskStrategy",
    "SuperpatchGrid",
    "Tiling",
    "Triple",
    "as_triple",
    "is_number",
    "is_whole",
    "pca_colours",
    "per_axis",
    "roi_mask_from_box",
    "roi_mask_from_label",
    "roi_mask_from_ras_box",
    "similarity",
    "usual_overlap",
]
