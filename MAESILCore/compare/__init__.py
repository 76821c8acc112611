"""Comparison of methods at equal budgets: `maesil compare`."""

from MAESILCore.compare.cells import Cell, compare
from MAESILCore.compare.config import CompareConfig, load_comparison

__all__ = ["Cell", "CompareConfig", "compare", "load_comparison"]
