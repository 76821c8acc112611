"""Job folders as a finished computation of features leaves them, with random vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import slicer

from MAESILCore.lattice import FeatureMap, SuperpatchGrid, pca_colours
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf

PATCH = 8


def a_feature_map(node: slicer.vtkMRMLScalarVolumeNode) -> FeatureMap:
    """Random vectors for a volume, with a border of air on one side."""
    grid = SuperpatchGrid(voxelsOf(node).shape, PATCH, PATCH)
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(5, *grid.lattice_shape)).astype(np.float32)
    body = np.ones(grid.lattice_shape, dtype=bool)
    body[:, :, 0] = False
    return FeatureMap(vectors, grid.lattice_to_ras(geometryOf(node)), (PATCH,) * 3, body)


def write_feature_job(folder: Path, features: FeatureMap) -> Path:
    """Write the folder of a finished job."""
    folder.mkdir()
    np.save(folder / "vectors.npy", features.vectors)
    np.save(folder / "colours.npy", np.moveaxis(pca_colours(features), -1, 0))
    np.save(folder / "body.npy", features.body)
    (folder / "job.json").write_text(json.dumps({"kind": "features", "request": {}}))
    result = {"model": "a-jepa", "notes": ["Made up."], "stride_kji": list(features.stride)}
    result["lattice_to_ras"] = features.lattice_to_ras.tolist()
    (folder / "result.json").write_text(json.dumps(result))
    return folder
