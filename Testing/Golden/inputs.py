"""Small volumes on which results are recorded: phantoms, a sheared one, and a part of a real scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MAESILCore import Volume, make_phantom, read_volume, write_volume

#: Folder of the scans that are evaluated and pre-trained on.
EVALUATED = "evaluated"


def prepare_inputs(folder: Path, scan: Path | None) -> None:
    """Write the input volumes.

    `phantom` and `scan` are float32, so that their results are written unrounded.

    Args:
        folder: where to; must not exist.
        scan: a CT, of which at most 160 x 160 x 60 voxels in the middle are used; None for no real scan.
    """
    (folder / EVALUATED).mkdir(parents=True)
    phantom = make_phantom((96, 96, 96)).volume
    write_volume(phantom, folder / "phantom_int16.nrrd")
    write_volume(_floating(phantom), folder / "phantom.nrrd")
    # Of several superpatches, where `phantom` is one.
    write_volume(_floating(make_phantom((56, 140, 200), seed=2).volume), folder / "wide.nrrd")
    oblique = make_phantom((72, 80, 60), ijk_to_ras=sheared_geometry(phantom), seed=1).volume
    write_volume(_floating(oblique), folder / "oblique.nrrd")
    for seed, name in enumerate(("first", "second", "third")):
        write_volume(make_phantom((40, 48, 48), seed=seed).volume, folder / EVALUATED / f"{name}.nii.gz")
    if scan is not None:
        write_volume(_floating(middle_of(read_volume(scan), (60, 160, 160))), folder / "scan.nrrd")


def sheared_geometry(around: Volume) -> np.ndarray:
    """The IJK-to-RAS matrix, (4, 4), of an anisotropic, turned and sheared grid of 60 x 80 x 72 voxels (i, j, k).

    Its middle is that of the volume `around`.
    """
    angle = np.radians(25.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shear = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.2], [0.0, 0.0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ shear @ np.diag([-6.0, 4.0, 4.5])
    middle = (np.array(around.shape[::-1]) - 1) / 2
    centre_ras = around.ijk_to_ras[:3, :3] @ middle + around.ijk_to_ras[:3, 3]
    matrix[:3, 3] = centre_ras - matrix[:3, :3] @ ((np.array([60, 80, 72]) - 1) / 2)
    return matrix


def middle_of(volume: Volume, largest: tuple[int, int, int]) -> Volume:
    """The middle of a volume, with at most `largest` voxels along k, j, i."""
    starts = [max(0, (n - most) // 2) for n, most in zip(volume.shape, largest, strict=True)]
    box = tuple(slice(start, start + most) for start, most in zip(starts, largest, strict=True))
    ijk_to_ras = volume.ijk_to_ras.copy()
    ijk_to_ras[:3, 3] += ijk_to_ras[:3, :3] @ np.array(starts[::-1], dtype=np.float64)
    return Volume(volume.voxels[box], ijk_to_ras)


def _floating(volume: Volume) -> Volume:
    return volume.with_voxels(volume.voxels.astype(np.float32))
