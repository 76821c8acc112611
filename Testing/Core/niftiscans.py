"""The geometry of the NIfTI files that tests write."""

from __future__ import annotations

import numpy as np

AFFINE = np.array([[-0.7, 0.0, 0.0, 91.5], [0.0, -0.8, 0.0, 70.25], [0.0, 0.0, 2.5, -1200.0], [0, 0, 0, 1.0]])
