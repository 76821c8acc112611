"""Job folders as a finished computation of features leaves them, with random vectors, and an index of such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from MAESILCore.downstream.search import arrays
from MAESILCore.downstream.search.boxes import PooledBoxes
from MAESILCore.downstream.search.layout import Description, IndexedScan, ScanFile, matrix_of, write_scan
from MAESILCore.lattice import FeatureMap, SuperpatchGrid, pca_colours
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf

PATCH = 8


#: Hash and level of the model that made the features.
ENCODER = "0123 1"


def a_feature_map(node: slicer.vtkMRMLScalarVolumeNode) -> FeatureMap:
    """Random vectors for a volume, with a border of air on one side."""
    grid = SuperpatchGrid(voxelsOf(node).shape, PATCH, PATCH)
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(5, *grid.lattice_shape)).astype(np.float32)
    body = np.ones(grid.lattice_shape, dtype=bool)
    body[:, :, 0] = False
    return FeatureMap(vectors, grid.lattice_to_ras(geometryOf(node)), (PATCH,) * 3, body)


def write_feature_job(folder: Path, features: FeatureMap, encoder: str = ENCODER) -> Path:
    """Write the folder of a finished job."""
    folder.mkdir()
    np.save(folder / "vectors.npy", features.vectors)
    np.save(folder / "colours.npy", np.moveaxis(pca_colours(features), -1, 0))
    np.save(folder / "body.npy", features.body)
    (folder / "job.json").write_text(json.dumps({"kind": "features", "request": {}}))
    result = {
        "model": "a-jepa",
        "encoder": encoder,
        "notes": ["Made up."],
        "stride_kji": list(features.stride),
    }
    result["lattice_to_ras"] = features.lattice_to_ras.tolist()
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def marked(features: FeatureMap, place: tuple[int, int, int]) -> FeatureMap:
    """Features with the same vector at a pooled box of any volume, and small ones elsewhere."""
    vectors = 0.1 * features.vectors + np.arange(5, dtype=np.float32)[:, None, None, None]
    k, j, i = (n // 2 * 2 for n in place)
    vectors[:, k : k + 2, j : j + 2, i : i + 2] = np.array([9.0, -3, 4, 1, 7])[:, None, None, None]
    return replace(features, vectors=vectors)


def write_index(
    folder: Path, node: slicer.vtkMRMLScalarVolumeNode, features: FeatureMap, names: Sequence[str]
) -> tuple[Description, list[ScanFile]]:
    """Write an index beside the scans of these names, which all have the same features."""
    (folder / "scans").mkdir(parents=True)
    boxes, files = PooledBoxes.of(features), []
    geometry = matrix_of(geometryOf(node)), boxes.shape, matrix_of(boxes.lattice_to_ras)
    for name in names:
        scan = IndexedScan(name, name, 0, 1, 1, voxelsOf(node).shape, *geometry, len(boxes.numbers))
        write_scan(folder / "scans" / f"{name}.npz", scan, boxes.vectors, boxes.numbers)
        file = ScanFile.read(folder / "scans" / f"{name}.npz")
        assert file is not None
        files.append(file)
    digest, level = ENCODER.split()
    description = Description(str(folder.parent), "a-jepa", digest, int(level), (2 * PATCH,) * 3)
    return arrays.join(folder, description, files), files
