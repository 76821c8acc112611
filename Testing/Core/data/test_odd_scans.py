"""Real scans that are odd load right or fail with one clear sentence; the test scans all load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest

from MAESILCore.data.volume import Volume, find_scans, looks_like_label, read_volume
from MAESILCore.errors import VolumeError


@dataclass(frozen=True)
class Loads:
    """What a scan that can be read comes out as; shape is k, j, i and spacing i, j, k in mm."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str
    dtype: str
    notes: tuple[str, ...] = ()
    is_oblique: bool = False
    is_sheared: bool = False


HEAD_NOTE = ("from 0 to 92.5539 are not HU",)

ODD = {
    "CT_pitch_8bit.nii.gz": Loads(
        (58, 248, 175), (0.8125, 0.8125, 2.397), "RAS", "uint8", ("8-bit values .* not HU",), is_oblique=True
    ),
    "LIDC2_8bit.mha": Loads(
        (133, 256, 256), (1.406, 1.406, 2.5), "LAI", "uint8", ("8-bit values from 0 to 255 are not HU",)
    ),
    "complex.nii.gz": "complex numbers",
    "ct_perfusion_rgb.nii.gz": "colours",
    "d2n_missing_slice_dicom": "lacks 1 slice among slices 5 mm apart",
    "d2n_mixed_orientation_dicom": "2 orientations",
    "d2n_rgb_dicom": r"colours \(RGB\)",
    "d2n_rle_dicom": Loads((4, 256, 256), (1.0, 1.0, 1.0), "PIR", "int16", ("MR, not CT", "not HU")),
    "ge_head_tilt_uneven_dicom": "uneven slice distances, from 1.081 to 6.999 mm, and the gantry was tilted by 18.5",
    "made_truncated.nii.gz": "cut short or damaged",
    "orient_AIL.nii.gz": Loads((64, 67, 79), (2.39, 2.366, 2.385), "AIL", "float32", HEAD_NOTE),
    "orient_LPI.nii.gz": Loads((67, 79, 64), (2.385, 2.39, 2.366), "LPI", "float32", HEAD_NOTE),
    "orient_PSR.nii.gz": Loads((64, 67, 79), (2.39, 2.366, 2.385), "PSR", "float32", HEAD_NOTE),
    "orient_RAS.nii.gz": Loads((67, 79, 64), (2.385, 2.39, 2.366), "RAS", "float32", HEAD_NOTE),
    "philips_skull_phantom_shear.nii.gz": Loads(
        (54, 422, 306),
        (0.4824, 0.4824, 2.371),
        "RAS",
        "float32",
        ("sheared, 18.5 degrees",),
        is_oblique=True,
        is_sheared=True,
    ),
    "pval_27307x1x6.nii.gz": "degenerate shape 163842 x 1 x 1",
    "pydicom_CT_small.dcm": r"only one slice \(128 x 128\)",
    "pydicom_MR_truncated.dcm": "cut short or damaged",
    "pydicom_bad_sequence.dcm": "only one slice",
    "pydicom_eCT_Supplemental.dcm": Loads(
        (2, 512, 512), (0.3887, 0.3887, 10.0), "RPI", "int16", ("colours of a map",)
    ),
    "pydicom_explicit_VR-UN.dcm": "only one slice",
    "pydicom_image_dfl.dcm": "only one slice",
    "pydicom_no_meta.dcm": "lacks the header of a DICOM file",
    "ras.hdr": Loads((34, 41, 62), (2.385, 2.39, 2.366), "RAS", "uint8", ("8-bit .* not HU",)),
    "ras.img": Loads((34, 41, 62), (2.385, 2.39, 2.366), "RAS", "uint8", ("8-bit .* not HU",)),
    "tiny_7x5x3.nii.gz": Loads((3, 5, 7), (2.0, 2.0, 2.0), "RAS", "uint8", ("label map",)),
    "wm.mgz": Loads((256, 256, 256), (1.0, 1.0, 1.0), "LIA", "uint8", ("8-bit .* not HU",)),
}

TEST = {
    "C4KC-KiTS-00072_CT.nrrd": Loads((18, 512, 512), (0.6641, 0.6641, 2.5), "LPS", "int16"),
    "CTHeadAxial.nhdr": Loads((93, 64, 64), (3.2, 3.2, 1.5), "LPS", "int16", ("0 to 3926 are not HU",)),
    "CTHeadAxialDicom": Loads((93, 64, 64), (3.2, 3.2, 1.5), "LPS", "int16", ("0 to 3926 are not HU",)),
    "STS_019_CT.nii.gz": Loads((47, 134, 136), (0.9766, 0.9766, 3.27), "LPS", "int16"),
    "STS_025_CT.nii.gz": Loads((47, 138, 149), (0.9766, 0.9766, 3.27), "LPS", "int16"),
    "STS_042_CT.nii.gz": Loads((49, 162, 134), (0.9766, 0.9766, 3.27), "LPS", "int16"),
    "STS_042_dicom": Loads((49, 162, 134), (0.9766, 0.9766, 3.27), "LPS", "int16", ("1 other DICOM object",)),
    "TS_aorta_ct.nii.gz": Loads((164, 126, 120), (1.5, 1.5, 1.5), "LPS", "int16"),
    "TS_example_ct.nii.gz": Loads((112, 101, 122), (3.0, 3.0, 3.0), "RAS", "int16"),
    "TS_example_ct_dicom": Loads((20, 512, 512), (0.9766, 0.9766, 2.0), "LPS", "int16"),
    "dcmqi_ct-3slice": Loads((3, 512, 512), (0.8105, 0.8105, 1.0), "LPS", "int16"),
    "elastix_3DCT_lung.mha": Loads((129, 157, 115), (1.366, 1.366, 2.5), "LPS", "int16"),
    "elastix_3DCT_lung_baseline_small.mha": Loads((64, 78, 57), (2.732, 2.732, 5.0), "LPS", "int16"),
}

TEST_LABELS = {
    "STS_019_CT_gtv.nii.gz": "STS_019_CT.nii.gz",
    "STS_025_CT_gtv.nii.gz": "STS_025_CT.nii.gz",
    "STS_042_CT_gtv.nii.gz": "STS_042_CT.nii.gz",
    "TS_aorta_ct_aorta.nii.gz": "TS_aorta_ct.nii.gz",
    "TS_example_ct_seg.nii.gz": "TS_example_ct.nii.gz",
    "elastix_3DCT_lung_mask.mha": "elastix_3DCT_lung.mha",
}


def check(path: Path, expected: Loads | str) -> None:
    if isinstance(expected, str):
        with pytest.raises(VolumeError, match=expected) as caught:
            read_volume(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
        return
    volume = read_volume(path)
    assert volume.shape == expected.shape
    assert volume.spacing == pytest.approx(expected.spacing, rel=1e-3)
    assert volume.orientation == expected.orientation
    assert volume.voxels.dtype == expected.dtype
    assert (volume.is_oblique, volume.is_sheared) == (expected.is_oblique, expected.is_sheared)
    assert len(volume.notes) == len(expected.notes), volume.notes
    for note, words in zip(volume.notes, expected.notes, strict=True):
        assert re.search(words, note)
    assert np.isfinite(volume.voxels).all()


@pytest.mark.parametrize(("name", "expected"), ODD.items(), ids=ODD)
def test_an_odd_scan_loads_right_or_is_refused(name: str, expected: Loads | str, scans: Path) -> None:
    check(scans / "odd" / name, expected)


def test_the_table_holds_every_odd_scan(scans: Path) -> None:
    assert {path.name for path in (scans / "odd").iterdir()} == set(ODD)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), TEST.items(), ids=TEST)
def test_a_test_scan_loads(name: str, expected: Loads, scans: Path) -> None:
    check(scans / "test" / name, expected)


def test_the_tables_hold_every_test_scan(scans: Path) -> None:
    found = {path.name for path in find_scans(scans / "test")}
    assert found == {*TEST, *TEST_LABELS, "TS_example_ct_dicom_seg.nii.gz"}


@pytest.mark.slow
def test_the_images_are_told_from_the_labels(scans: Path) -> None:
    labels = {path.name for path in find_scans(scans / "test") if looks_like_label(read_volume(path))}
    assert labels == {*TEST_LABELS, "TS_example_ct_dicom_seg.nii.gz"}


@pytest.mark.parametrize(("label", "image"), TEST_LABELS.items(), ids=TEST_LABELS)
def test_a_label_map_lies_on_its_image(label: str, image: str, scans: Path) -> None:
    of_label, of_image = read_volume(scans / "test" / label), read_volume(scans / "test" / image)
    assert of_label.shape == of_image.shape
    np.testing.assert_allclose(of_label.ijk_to_ras, of_image.ijk_to_ras, atol=1e-3)


def test_the_dicom_and_the_nifti_of_a_scan_are_the_same(scans: Path) -> None:
    nifti = read_volume(scans / "test" / "STS_042_CT.nii.gz")
    dicom = read_volume(scans / "test" / "STS_042_dicom")
    assert np.array_equal(dicom.voxels, nifti.voxels)
    np.testing.assert_allclose(dicom.ijk_to_ras, nifti.ijk_to_ras, atol=1e-4)


def test_slices_are_in_the_order_of_positions_and_not_of_file_names(scans: Path) -> None:
    nrrd = read_volume(scans / "test" / "CTHeadAxial.nhdr")
    dicom = read_volume(scans / "test" / "CTHeadAxialDicom")
    assert np.array_equal(dicom.voxels, nrrd.voxels)
    np.testing.assert_allclose(dicom.ijk_to_ras, nrrd.ijk_to_ras, atol=1e-9)


def in_ras_order(volume: Volume) -> np.ndarray:
    """The voxels (i, j, k) after flips and swaps of axes, by nibabel."""
    return nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.voxels.T, volume.ijk_to_ras)).get_fdata()


def brightest_in_ras(volume: Volume) -> np.ndarray:
    """The mean position of the voxels that share the highest value, for it is reached more than once."""
    kji = np.argwhere(volume.voxels == volume.voxels.max()).mean(axis=0)
    return volume.ijk_to_ras @ np.array([*kji[::-1], 1.0])


@pytest.mark.parametrize("order", ["LPI", "AIL", "PSR"])
def test_one_head_in_four_orders_lies_in_one_place(order: str, scans: Path) -> None:
    ras = read_volume(scans / "odd" / "orient_RAS.nii.gz")
    other = read_volume(scans / "odd" / f"orient_{order}.nii.gz")
    assert np.array_equal(in_ras_order(other), in_ras_order(ras))
    np.testing.assert_allclose(brightest_in_ras(other), brightest_in_ras(ras), atol=1e-3)


def test_the_shear_of_a_real_file_is_its_own(scans: Path) -> None:
    path = scans / "odd" / "philips_skull_phantom_shear.nii.gz"
    assert np.array_equal(read_volume(path).ijk_to_ras, nibabel.load(path).affine)


def test_an_oblique_mr_series_loads(scans: Path) -> None:
    check(
        scans / "mri" / "studyforrest_t1w_dicom",
        Loads(
            (16, 384, 274), (0.7, 0.6667, 0.6667), "LPS", "int16", ("MR, not CT", "not HU"), is_oblique=True
        ),
    )


@pytest.mark.slow
def test_every_training_ct_looks_like_hu(scans: Path) -> None:
    volumes = [read_volume(path) for path in find_scans(scans / "train")]
    images = [volume for volume in volumes if not looks_like_label(volume)]
    assert len(images) == 28
    assert all(volume.looks_like_hu and not volume.notes for volume in images)
