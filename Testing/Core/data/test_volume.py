"""A volume knows where its voxels are, and what they look like."""

from __future__ import annotations

import json
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MAESILCore.data.formats import voxeltypes
from MAESILCore.data.volume import Volume, describe, looks_like_label
from MAESILCore.errors import VolumeError


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Rotations about R, A and S, multiplied out by hand."""
    (cos_r, cos_a, cos_s), (sin_r, sin_a, sin_s) = np.cos(angles), np.sin(angles)
    about_r = np.array([[1, 0, 0], [0, cos_r, -sin_r], [0, sin_r, cos_r]])
    about_a = np.array([[cos_a, 0, sin_a], [0, 1, 0], [-sin_a, 0, cos_a]])
    about_s = np.array([[cos_s, -sin_s, 0], [sin_s, cos_s, 0], [0, 0, 1]])
    return np.asarray(about_r @ about_a @ about_s)


def placed(axes: np.ndarray, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = origin
    return matrix


@pytest.fixture
def an_axial_ct() -> Volume:
    voxels = np.linspace(-1000, 1200, 3 * 4 * 5).reshape(3, 4, 5).astype(np.int16)
    return Volume(voxels, placed(np.diag([-0.7, -0.8, 2.5]), (100.0, 120.0, -50.0)), "chest")


def test_an_axial_ct_tells_its_geometry(an_axial_ct: Volume) -> None:
    assert an_axial_ct.shape == (3, 4, 5)
    assert an_axial_ct.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert an_axial_ct.origin == (100.0, 120.0, -50.0)
    assert an_axial_ct.orientation == "LPS"
    assert np.array_equal(an_axial_ct.directions, np.diag([-1.0, -1.0, 1.0]))
    assert not an_axial_ct.is_oblique
    assert not an_axial_ct.is_sheared


@given(
    st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    st.tuples(*[st.floats(0.2, 8.0)] * 3),
    st.tuples(*[st.sampled_from((-1, 1))] * 3),
)
def test_any_rotated_and_flipped_grid_is_named_as_nibabel_names_it(
    angles: tuple[float, float, float], spacing: tuple[float, float, float], flips: tuple[int, int, int]
) -> None:
    matrix = placed(rotation(angles) * np.array(spacing) * np.array(flips))
    volume = Volume(np.zeros((2, 2, 2)), matrix)
    assert volume.spacing == pytest.approx(spacing)
    assert not volume.is_sheared
    directions = np.abs(volume.directions)
    # Near 45 degrees two names are equally right.
    if (np.sort(directions, axis=0)[2] - np.sort(directions, axis=0)[1] > 0.2).all():
        assert volume.orientation == "".join(nibabel.aff2axcodes(matrix))


@pytest.mark.parametrize(("degrees", "is_oblique"), [(0.0, False), (0.01, False), (1.0, True), (90.0, False)])
def test_a_turned_grid_is_oblique_unless_turned_by_a_right_angle(degrees: float, is_oblique: bool) -> None:
    matrix = placed(rotation((0.0, 0.0, float(np.radians(degrees)))) * 1.5)
    assert Volume(np.zeros((2, 2, 2)), matrix).is_oblique is is_oblique


def test_a_gantry_tilt_is_a_shear() -> None:
    axes = np.diag([-0.5, -0.5, 5.0])
    axes[1, 2] = 5.0 * np.tan(np.radians(18.5))
    assert Volume(np.zeros((2, 2, 2)), placed(axes)).is_sheared


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.int64, np.float16, np.float64])
def test_every_real_type_is_a_volume(dtype: type) -> None:
    assert Volume(np.ones((2, 3, 4), dtype), np.eye(4)).voxels.dtype == dtype


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.zeros((4, 4)), "three axes"),
        (np.zeros((4, 4, 4, 1)), "three axes"),
        (np.zeros((4, 0, 4)), "none empty"),
        (np.zeros((2, 2, 2), complex), "real numbers"),
        (np.zeros((2, 2, 2), "U1"), "real numbers"),
    ],
)
def test_an_array_that_is_no_real_3d_image_is_refused(voxels: np.ndarray, words: str) -> None:
    with pytest.raises(VolumeError, match=words):
        Volume(voxels, np.eye(4))


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(3), "4 x 4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 1.0, 1.0, 2.0]), "last row"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "degenerate"),
        (placed(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])), "degenerate"),
    ],
)
def test_a_matrix_that_places_no_voxels_is_refused(matrix: np.ndarray, words: str) -> None:
    with pytest.raises(VolumeError, match=words):
        Volume(np.zeros((2, 2, 2)), matrix)


def test_the_geometry_can_not_be_changed_behind_a_volumes_back(an_axial_ct: Volume) -> None:
    with pytest.raises(ValueError, match="read-only"):
        an_axial_ct.ijk_to_ras[0, 0] = 3.0


def test_other_voxels_take_over_the_geometry(an_axial_ct: Volume) -> None:
    error = an_axial_ct.with_voxels(np.zeros((3, 4, 5), np.float32), name="error")
    assert np.array_equal(error.ijk_to_ras, an_axial_ct.ijk_to_ras)
    assert error.name == "error"
    assert an_axial_ct.with_voxels(error.voxels).name == "chest"


def test_other_voxels_of_another_shape_are_refused(an_axial_ct: Volume) -> None:
    with pytest.raises(VolumeError, match=r"\(5, 4, 3\).*\(3, 4, 5\)"):
        an_axial_ct.with_voxels(np.zeros((5, 4, 3)))


@pytest.mark.parametrize(
    ("low", "high", "looks_like_hu"),
    [(-1000, 1200, True), (-3024, 3071, True), (-1024, -770, False), (0, 3926, False), (-90, 1200, False)],
)
def test_hu_are_told_by_their_range(low: int, high: int, looks_like_hu: bool) -> None:
    voxels = np.full((2, 3, 4), low, np.int16)
    voxels[0, 0, 0] = high
    assert Volume(voxels, np.eye(4)).looks_like_hu is looks_like_hu


def blocks_of_labels(count: int, dtype: type) -> np.ndarray:
    """Label 0 in the outer shell, and `count` labels in blocks of 4 voxels along i."""
    labels = np.arange(1, count + 1, dtype=dtype).repeat(4)
    return np.pad(np.broadcast_to(labels, (4, 4, labels.size)), 2)


def noise(high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (12, 12, 12))


@pytest.mark.parametrize(
    ("voxels", "is_label"),
    [
        (blocks_of_labels(1, np.uint8), True),
        (blocks_of_labels(117, np.uint8), True),
        (blocks_of_labels(117, np.float32), True),
        (blocks_of_labels(3, np.float32) + 0.5, False),
        (-blocks_of_labels(3, np.int16), False),
        (blocks_of_labels(1, np.int32) * 100_000, False),
        (noise(3), True),
        (noise(256).astype(np.uint8), False),
        (noise(1000).astype(np.int16), False),
    ],
)
def test_a_label_map_is_told_from_an_image(voxels: np.ndarray, is_label: bool) -> None:
    assert looks_like_label(Volume(voxels, np.eye(4))) is is_label


def test_a_description_goes_into_json_with_its_grid(an_axial_ct: Volume) -> None:
    facts = json.loads(json.dumps(describe(an_axial_ct, superpatch_size=4, patch_size=2)))
    assert facts["shape_kji"] == [3, 4, 5]
    assert facts["value_range"] == [-1000, 1200]
    assert facts["superpatches_kji"] == [1, 1, 2]
    assert facts["superpatches"] == 2
    assert facts["patch_lattice_kji"] == [2, 2, 3]
    assert facts["looks_like_hu"] is True
    assert facts["looks_like_label"] is False


@pytest.mark.process
def test_importing_volume_loads_no_reader() -> None:
    readers = ("SimpleITK", "nibabel", "torch")
    code = f"import sys, MAESILCore.data.volume; print([name for name in {readers} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_whole_numbers_are_rounded_once_to_the_nearest_and_cut_off_at_the_limits() -> None:
    values = np.array([[[-1e6, -1000.6, -0.4, 0.5, 1.5, 32767.4, 1e6]]], dtype=np.float32)
    whole = voxeltypes.rounded(values)
    assert whole.dtype == np.int16
    assert whole.tolist() == [[[-32768, -1001, 0, 0, 2, 32767, 32767]]]
    np.testing.assert_array_equal(voxeltypes.rounded(whole), whole)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "fits"),
    [
        ("int16", -32768, 32767, True),
        ("uint8", 0, 255, True),
        ("int32", -1024, 3071, True),
        ("int32", -32769, 0, False),
        ("uint16", 0, 32768, False),
        ("float32", -1024, 3071, False),
    ],
)
def test_only_whole_numbers_within_the_limits_fit_int16(dtype: str, low: int, high: int, fits: bool) -> None:
    assert voxeltypes.fits_int16(np.dtype(dtype), low, high) is fits
