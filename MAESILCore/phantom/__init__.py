"""A procedural torso CT with labels, as sample data and as ground truth for tests."""

from __future__ import annotations

from MAESILCore.phantom.build import Phantom, make_phantom, phantom_geometry
from MAESILCore.phantom.labels import LEGEND, Label

__all__ = ["LEGEND", "Label", "Phantom", "make_phantom", "phantom_geometry"]
