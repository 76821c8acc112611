"""Saves the features of a volume: one map per level, and pooled vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from MAESILCore.data.formats import nifti
from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import UNFINISHED, why_unwritable, write_json
from MAESILCore.inference.features import LevelFeatures
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.optional import require

#: File formats of feature maps.
FORMATS = ("nifti", "zarr")
#: Files: of the pooled vectors, of all maps as Zarr, and of one map as NIfTI.
POOLED, ZARR, NIFTI = "pooled.json", "features.zarr", "features-level-{}.nii"

#: Edge of a Zarr chunk in boxes.
_CHUNK = 32


def check_feature_format(name: str) -> None:
    """Check that feature maps can be written in a format of `FORMATS`.

    Raises:
        ConfigError: the format is unknown.
        MissingPackageError: its package is not installed.
    """
    if name not in FORMATS:
        raise ConfigError(f"Features are written as {' or '.join(FORMATS)}, not as {name}.")
    if name == "zarr":
        require("zarr", "Features as Zarr")


def save_features(
    features: Sequence[LevelFeatures],
    folder: str | Path,
    *,
    volume: Volume,
    model: LoadedModel,
    format: str = "nifti",  # noqa: A002 - as the option is called
) -> list[Path]:
    """Write the features of a volume to a folder, which is created if missing; earlier features there are replaced.

    As NIfTI, each level is a file `features-level-N.nii` of float32 vectors, (i, j, k, 1, C), which nibabel, ITK and 3D
    Slicer read; its geometry is that of the level's lattice, accurate to 1e-4 mm. As Zarr 3, each level is an array
    `level-N` (C, k, j, i) in `features.zarr`, with the exact geometry in its attributes. `pooled.json` holds one
    vector per level: the mean over the boxes that hold more than air, and the mean summary of superpatches, if any.

    Args:
        features: the features, from `encode_levels`.
        folder: the target folder.
        volume: the scan.
        model: the model of the features.
        format: nifti or zarr.

    Returns:
        The files, and the folder of a Zarr group.

    Raises:
        ConfigError: the format is unknown.
        MissingPackageError: zarr is not installed.
        VolumeError: the folder cannot be written.
    """
    check_feature_format(format)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the results, as moves are atomic only within a file system.
        with TemporaryDirectory(prefix=UNFINISHED, dir=folder) as unfinished:
            made, old = Path(unfinished, "made"), Path(unfinished, "old")
            made.mkdir()
            old.mkdir()
            names = _write_nifti(features, made) if format == "nifti" else _write_zarr(features, made)
            write_json(made / POOLED, _pooled(features, volume, model, names))
            for name in (POOLED, ZARR, *(one.name for one in folder.glob(NIFTI.format("*")))):
                if (folder / name).exists():
                    os.replace(folder / name, old / name)
            written = [*dict.fromkeys(names.values()), POOLED]
            for name in written:
                os.replace(made / name, folder / name)
    except OSError as error:
        reason = why_unwritable(folder, error)
        raise VolumeError(f"The features cannot be written to {folder}: {reason}.") from error
    return [folder / name for name in written]


def _write_nifti(features: Sequence[LevelFeatures], folder: Path) -> dict[int, str]:
    """Write one file per level; returns their names."""
    names = {one.level: NIFTI.format(one.level) for one in features}
    for one in features:
        nifti.write_vectors(one.map.vectors, one.map.lattice_to_ras, folder / names[one.level])
    return names


def _write_zarr(features: Sequence[LevelFeatures], folder: Path) -> dict[int, str]:
    """Write one array per level; returns the name of their group for each."""
    zarr: Any = require("zarr", "Features as Zarr")
    group = zarr.create_group(str(folder / ZARR), zarr_format=3)
    for one in features:
        group.create_array(
            f"level-{one.level}",
            shape=one.map.vectors.shape,
            dtype=np.float32,
            chunks=(len(one.map.vectors), *(min(_CHUNK, size) for size in one.map.shape)),
            dimension_names=("c", "k", "j", "i"),
            attributes=_geometry(one),
        )[...] = one.map.vectors
    return dict.fromkeys((one.level for one in features), ZARR)


def _geometry(one: LevelFeatures) -> dict[str, Any]:
    return {"lattice_to_ras": one.map.lattice_to_ras.tolist(), "stride_kji": list(one.map.stride)}


def _pooled(
    features: Sequence[LevelFeatures], volume: Volume, model: LoadedModel, names: Mapping[int, str]
) -> dict[str, Any]:
    levels = [
        {
            "level": one.level,
            "file": names[one.level],
            "width": len(one.map.vectors),
            "shape_kji": list(one.map.shape),
            **_geometry(one),
            "body_boxes": int(one.map.body.sum()),
            "mean": one.map.mean.tolist(),
            "summary": None if one.summary is None else one.summary.tolist(),
        }
        for one in features
    ]
    notes = [*volume.notes, *model.notes]
    return {"name": volume.name, "model": model.name, "levels": levels, "notes": notes}
