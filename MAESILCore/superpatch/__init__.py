"""Superpatches: how a volume is cut into model inputs, these into patches, and all put together again."""

from MAESILCore.superpatch.assembler import Assembler
from MAESILCore.superpatch.box import LatticeBox, Triple, as_triple, is_number, is_whole
from MAESILCore.superpatch.grid import SuperpatchGrid, usual_overlap

__all__ = [
    "Assembler",
    "LatticeBox",
    "SuperpatchGrid",
    "Triple",
    "as_triple",
    "is_number",
    "is_whole",
    "usual_overlap",
]
