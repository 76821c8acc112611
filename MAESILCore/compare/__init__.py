"""Comparison of methods at equal budgets: `maesil compare`."""

from MAESILCore.compare.cells import Cell, cells_of, compare
from MAESILCore.compare.config import CompareConfig, load_comparison

__all__ = ["Cell", "CompareConfig", "cells_of", "compare", "load_comparison"]
