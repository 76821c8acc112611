"""Comparison of methods at equal budgets: `maesil compare`."""

from MAESILCore.compare.cells import Cell, cells_of
from MAESILCore.compare.config import CompareConfig, load_comparison
from MAESILCore.compare.run import compare

__all__ = ["Cell", "CompareConfig", "cells_of", "compare", "load_comparison"]
