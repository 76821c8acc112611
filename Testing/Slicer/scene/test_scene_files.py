"""What Slicer loads from a file and what the library reads from it are the same voxels in the same places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from MAESILCore.data.volume import read_volume
from MAESILSlicerLib.scene.transforms import geometryOf
from MAESILSlicerLib.scene.volumes import addVolume, checkVolume, readVolume
from offscreen import OffscreenApplication


def loadedBySlicer(application: OffscreenApplication, path: Path) -> slicer.vtkMRMLScalarVolumeNode:
    return application.logic.GetModuleLogic("Volumes").AddArchetypeVolume(str(path), path.name, 0)


@pytest.mark.parametrize(
    "name",
    [
        "test/C4KC-KiTS-00072_CT.nrrd",
        "test/TS_aorta_ct.nii.gz",
        "test/elastix_3DCT_lung_baseline_small.mha",
        "test/CTHeadAxial.nhdr",
        "odd/LIDC2_8bit.mha",
        "odd/orient_AIL.nii.gz",
        "odd/orient_LPI.nii.gz",
        "odd/orient_PSR.nii.gz",
        "odd/ras.hdr",
        "mri/fernando_t2.nii.gz",
        "mri/pyradiomics_brain2_image.nrrd",
    ],
)
def test_slicer_and_the_library_put_the_same_voxels_into_the_same_places(
    application: OffscreenApplication, scans: Path, name: str
) -> None:
    node = loadedBySlicer(application, scans / name)
    volume = read_volume(scans / name)
    # Slicer turns the axes of some files round, so that only places can be compared.
    indicesKji = np.random.default_rng(0).integers(0, volume.shape, size=(2000, 3))
    placesRas = volume.ijk_to_ras @ np.column_stack([indicesKji[:, ::-1], np.ones(len(indicesKji))]).T
    placesKji = np.linalg.solve(geometryOf(node), placesRas)[2::-1]
    assert np.abs(placesKji - np.rint(placesKji)).max() < 1e-3
    found = slicer.util.arrayFromVolume(node)[tuple(np.rint(placesKji).astype(int))]
    assert np.array_equal(found, volume.voxels[tuple(indicesKji.T)])


def test_a_real_ct_comes_back_from_the_scene_as_it_went_in(
    application: OffscreenApplication, scene: slicer.vtkMRMLScene, scans: Path
) -> None:
    node = loadedBySlicer(application, scans / "test" / "STS_042_CT.nii.gz")
    volume = readVolume(node)
    again = addVolume(scene, volume, "again", like=node)
    assert checkVolume(again).usable
    assert np.array_equal(geometryOf(again), geometryOf(node))
    assert np.array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(node))


@pytest.mark.parametrize("name", ["complex.nii.gz", "ct_perfusion_rgb.nii.gz"])
def test_files_without_one_number_per_voxel_are_refused_however_slicer_loads_them(
    application: OffscreenApplication, scans: Path, name: str
) -> None:
    problem = checkVolume(loadedBySlicer(application, scans / "odd" / name)).problem
    assert "has colours or several values in each voxel" in problem
