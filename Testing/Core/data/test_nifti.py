"""NIfTI and MGH come in and go out with their exact geometry, or are refused in one sentence."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from niftiscans import AFFINE

from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.errors import VolumeError


def test_voxels_come_in_kji_order_with_the_files_matrix(hu: np.ndarray, save: Callable[..., Path]) -> None:
    volume = read_volume(save(hu.T))
    assert volume.voxels.dtype == np.int16
    assert volume.voxels.flags.c_contiguous
    assert np.array_equal(volume.voxels, hu)
    np.testing.assert_allclose(volume.ijk_to_ras, AFFINE, rtol=0, atol=1e-4)
    assert volume.name == "scan"
    assert volume.notes == ()


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1.0, -1024.0, np.int16), (2.0, 0.0, np.int16), (0.25, -3.5, np.float32)],
)
def test_slope_and_intercept_are_applied(
    slope: float, intercept: float, dtype: type, save: Callable[..., Path]
) -> None:
    stored = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    path = save(stored, name="raw.nii")
    header = bytearray(path.read_bytes())
    # scl_slope and scl_inter are at bytes 112 and 116; nibabel itself drops them when it saves.
    header[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(header)
    volume = read_volume(path)
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels, stored.T * slope + intercept)


def test_a_wide_intercept_does_not_wrap_around(save: Callable[..., Path]) -> None:
    stored = np.array([60000, 65535], np.uint16).repeat(4).reshape(2, 2, 2)
    path = save(stored, name="raw.nii")
    header = bytearray(path.read_bytes())
    header[112:120] = np.array([1.0, -60000.0], "<f4").tobytes()
    path.write_bytes(header)
    assert read_volume(path).value_range == (0.0, 5535.0)


def test_the_other_byte_order_is_read_the_same(hu: np.ndarray, tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.save(nibabel.Nifti1Image(hu.T, AFFINE, header), tmp_path / "big.nii")
    volume = read_volume(tmp_path / "big.nii")
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, hu)


def test_64_bit_floats_become_32_bit_floats(hu: np.ndarray, save: Callable[..., Path]) -> None:
    volume = read_volume(save(hu.T.astype(np.float64)))
    assert volume.voxels.dtype == np.float32
    assert np.array_equal(volume.voxels, hu)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001)])
def test_lengths_in_other_units_become_mm(
    unit: str, factor: float, hu: np.ndarray, save: Callable[..., Path]
) -> None:
    volume = read_volume(save(hu.T, lambda image: image.header.set_xyzt_units(unit)))
    np.testing.assert_allclose(volume.ijk_to_ras[:3], AFFINE[:3] * factor, rtol=1e-6)
    assert unit in volume.notes[0]


def test_a_single_frame_is_squeezed_with_a_note(hu: np.ndarray, save: Callable[..., Path]) -> None:
    volume = read_volume(save(hu.T[..., None, None]))
    assert np.array_equal(volume.voxels, hu)
    assert "9 x 7 x 6 x 1 x 1" in volume.notes[0]


def test_a_file_without_orientation_says_so(hu: np.ndarray, save: Callable[..., Path]) -> None:
    volume = read_volume(save(hu.T, affine=None))
    assert "no orientation" in volume.notes[0]


def test_two_matrices_that_disagree_are_named(hu: np.ndarray, save: Callable[..., Path]) -> None:
    moved = AFFINE.copy()
    moved[2, 3] += 30.0
    volume = read_volume(save(hu.T, lambda image: image.set_qform(moved, code=1)))
    np.testing.assert_allclose(volume.ijk_to_ras, AFFINE, atol=1e-4)
    assert "differ by up to 30.0 mm" in volume.notes[0]


def test_voxels_that_are_not_finite_are_filled_and_counted(hu: np.ndarray, save: Callable[..., Path]) -> None:
    holed = hu.T.astype(np.float32)
    holed[0, 0, :2] = np.nan
    holed[1, 1, 1] = -np.inf
    volume = read_volume(save(holed))
    assert volume.voxels[0, 0, 0] == volume.voxels[1, 1, 1] == hu.min()
    assert volume.notes[0].startswith("3 voxels are NaN or infinite")


def test_a_file_without_any_finite_voxel_is_refused(save: Callable[..., Path]) -> None:
    with pytest.raises(VolumeError, match="finite number"):
        read_volume(save(np.full((3, 3, 3), np.nan, np.float32)))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((9, 7, 6, 4), "4 frames"),
        ((9, 7, 6, 1, 3), "3 frames"),
        ((9, 7, 1), "only one slice"),
        ((9, 1, 6), "only one slice"),
        ((9, 7), "only one slice"),
        ((9, 1, 1), "degenerate"),
    ],
)
def test_an_image_that_is_not_3d_is_refused(
    shape: tuple[int, ...], words: str, save: Callable[..., Path]
) -> None:
    with pytest.raises(VolumeError, match=words):
        read_volume(save(np.zeros(shape, np.int16)))


def test_a_matrix_without_depth_is_refused(hu: np.ndarray, save: Callable[..., Path]) -> None:
    path = save(hu.T, name="flat.nii")
    header = bytearray(path.read_bytes())
    # The third row of the sform, at byte 312, becomes that of a plane.
    header[312:328] = np.zeros(4, "<f4").tobytes()
    path.write_bytes(header)
    with pytest.raises(VolumeError, match=r"flat\.nii: The geometry is degenerate"):
        read_volume(path)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.mgz", "scan.mgh", "pair.img"])
@pytest.mark.parametrize("share", [0.4, 0.98])
def test_a_truncated_file_is_refused(name: str, share: float, hu: np.ndarray, tmp_path: Path) -> None:
    kind = nibabel.MGHImage if "mg" in name else nibabel.Nifti1Pair if "img" in name else nibabel.Nifti1Image
    path = tmp_path / name
    nibabel.save(kind(np.ascontiguousarray(hu.T), AFFINE), path)
    assert np.array_equal(read_volume(path).voxels, hu)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(VolumeError, match=r"cut short|no readable") as caught:
        read_volume(path)
    assert str(caught.value).count(".") < 6
    assert "\n" not in str(caught.value)


def test_a_header_that_announces_more_than_the_file_can_hold_takes_no_memory(
    hu: np.ndarray, save: Callable[..., Path]
) -> None:
    path = save(hu.T)
    header = bytearray(gzip.decompress(path.read_bytes()))
    # The lengths of the first three axes, at byte 42.
    header[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(header)))
    with pytest.raises(VolumeError, match="announces 65536000000000 bytes"):
        read_volume(path)


@pytest.mark.parametrize("content", [b"", b"no scan at all", bytes(400)])
def test_a_file_that_is_no_nifti_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"scan\.nii"):
        read_volume(path)


def test_half_of_a_pair_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(hu.T, AFFINE), tmp_path / "pair.img")
    (tmp_path / "pair.img").unlink()
    with pytest.raises(VolumeError, match="pair"):
        read_volume(tmp_path / "pair.hdr")


def test_a_written_sform_and_qform_say_scanner_coordinates(hu: np.ndarray, tmp_path: Path) -> None:
    write_volume(Volume(hu, AFFINE), tmp_path / "out.nii.gz")
    header = nibabel.load(tmp_path / "out.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), AFFINE, atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"
    assert header.get_zooms() == pytest.approx((0.7, 0.8, 2.5))


def test_a_shear_goes_into_the_sform_only(hu: np.ndarray, tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.8
    write_volume(Volume(hu, sheared), tmp_path / "out.nii.gz")
    header = nibabel.load(tmp_path / "out.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    assert header.get_zooms() == pytest.approx(tuple(np.linalg.norm(sheared[:3, :3], axis=0)))
    again = read_volume(tmp_path / "out.nii.gz")
    np.testing.assert_allclose(again.ijk_to_ras, sheared, atol=1e-4)
    assert "sheared" in again.notes[0]


def test_a_native_ct_is_read_with_less_than_two_copies(scans: Path) -> None:
    path = scans / "native" / "LIDC-IDRI-0001_native_CT.nii.gz"
    tracemalloc.start()
    volume = read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.1 * volume.voxels.nbytes
