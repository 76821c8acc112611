"""Tests of `data.labels`: label maps, their names, and the grid of a scan."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from MAESILCore import (
    Segment,
    Segmentation,
    Volume,
    VolumeError,
    read_segmentation,
    write_segmentation,
    write_volume,
)

#: Oblique and anisotropic.
OBLIQUE = np.array([[0.69, -0.1, 0.3, -20], [0.1, 0.79, 0.2, 30], [-0.1, -0.1, 2.5, 7], [0, 0, 0, 1.0]])
SHEARED = np.array([[-0.7, 0, 0.5, 5], [0, -0.8, 0, 6], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])


@pytest.fixture
def labels() -> np.ndarray:
    """(k, j, i) uint8, with an edge without labels."""
    labels = np.zeros((6, 7, 9), np.uint8)
    labels[1:5, 1:6, 1:8] = np.random.default_rng(4).integers(0, 4, (4, 5, 7))
    return labels


def scan_on(ijk_to_ras: np.ndarray, shape: tuple[int, ...]) -> Volume:
    return Volume(np.zeros(shape, np.int16), ijk_to_ras)


def shifted(ijk_to_ras: np.ndarray, *ijk: float) -> np.ndarray:
    """The geometry of a grid that begins at a voxel of another."""
    moved = np.eye(4)
    moved[:3, 3] = ijk
    return ijk_to_ras @ moved


@pytest.mark.parametrize("geometry", [np.diag([-1.0, -1, 1, 1]), OBLIQUE, SHEARED])
@pytest.mark.parametrize("name", ["l.nii.gz", "l.nrrd", "l.seg.nrrd"])
def test_labels_and_geometry_survive_a_file(
    labels: np.ndarray, geometry: np.ndarray, name: str, tmp_path: Path
) -> None:
    segments = tuple(Segment(value, f"part {value}") for value in (1, 2, 3))
    write_segmentation(Segmentation(labels, geometry, segments), tmp_path / name)
    found = read_segmentation(tmp_path / name)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.ijk_to_ras, geometry, atol=1e-4 if name == "l.nii.gz" else 1e-9)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_labels_without_names_are_called_by_their_values(labels: np.ndarray, tmp_path: Path) -> None:
    write_volume(Volume(labels.astype(np.float32), np.eye(4)), tmp_path / "l.nii.gz")
    found = read_segmentation(tmp_path / "l.nii.gz")
    assert [(one.value, one.name) for one in found.segments] == [(n, f"label {n}") for n in (1, 2, 3)]
    assert found.labels.dtype == np.uint8
    assert found.notes == (
        "The file has no names of its labels; they were called label 1, label 2, label 3.",
    )


def test_given_names_are_used_and_a_label_without_one_gets_one(labels: np.ndarray, tmp_path: Path) -> None:
    write_volume(Volume(labels, np.eye(4)), tmp_path / "l.nii.gz")
    found = read_segmentation(tmp_path / "l.nii.gz", names={1: "liver", 3: "liver", 9: " "})
    assert [(one.value, one.name) for one in found.segments] == [
        (1, "liver"),
        (3, "liver (2)"),
        (9, "label 9"),
        (2, "label 2"),
    ]
    assert found.notes[-1] == "Some labels have no name; they were called label 2."
    assert len(found.notes) == 3


def test_no_label_is_no_error(tmp_path: Path) -> None:
    write_volume(Volume(np.zeros((2, 3, 4), np.uint8), np.eye(4)), tmp_path / "l.nii.gz")
    found = read_segmentation(tmp_path / "l.nii.gz", scan_on(np.eye(4), (5, 5, 5)))
    assert not found.labels.any()
    assert found.labels.shape == (5, 5, 5)
    assert found.segments == ()
    assert found.notes == ("No voxel has a label.",)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([0, -1], "holds negative values (down to -1)"),
        ([0, 0.5], "holds values that are no whole numbers (such as 0.5)"),
        ([0, 70_000], "has the label 70000, but labels up to 65535"),
        ([0, np.nan], "holds voxels that are no numbers"),
    ],
)
def test_an_image_is_no_label_map(values: list[float], problem: str, tmp_path: Path) -> None:
    voxels = np.resize(np.array(values, np.float32), (2, 3, 4))
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "l.nii.gz")
    with pytest.raises(VolumeError) as caught:
        read_segmentation(tmp_path / "l.nii.gz")
    assert str(caught.value).startswith(f"l.nii.gz {problem}")


def test_an_image_of_whole_numbers_is_no_label_map_but_an_atlas_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 900, (8, 9, 10)).astype(np.int16)
    write_volume(Volume(noise, np.eye(4)), tmp_path / "mr.nii.gz")
    with pytest.raises(VolumeError, match=r"^mr\.nii\.gz has \d+ different values, as an image has"):
        read_segmentation(tmp_path / "mr.nii.gz")
    atlas = np.kron(np.arange(64).reshape(4, 4, 4), np.ones((4, 4, 4))).astype(np.int16)
    write_volume(Volume(atlas, np.eye(4)), tmp_path / "atlas.nii.gz")
    assert len(read_segmentation(tmp_path / "atlas.nii.gz").segments) == 63


def test_large_labels_need_16_bits(tmp_path: Path) -> None:
    write_volume(Volume(np.full((2, 3, 4), 300, np.int32), np.eye(4)), tmp_path / "l.nrrd")
    assert read_segmentation(tmp_path / "l.nrrd").labels.dtype == np.uint16


@pytest.mark.parametrize("axes", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_flipped_and_permuted_grids_are_reordered_without_loss(
    axes: tuple[int, ...], flips: tuple[int, ...], labels: np.ndarray, tmp_path: Path
) -> None:
    shape = np.array(labels.shape[::-1])[list(axes)]
    # From voxels of the turned file to those of the scan.
    turn = np.zeros((4, 4))
    for own, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        turn[axis, own] = flip
        turn[axis, 3] = 0 if flip > 0 else shape[own] - 1
    turn[3, 3] = 1
    turned = labels.T.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)].T
    segmentation = Segmentation(np.ascontiguousarray(turned), OBLIQUE @ turn, ())
    write_segmentation(segmentation, tmp_path / "l.nii.gz")
    found = read_segmentation(tmp_path / "l.nii.gz", scan_on(OBLIQUE, labels.shape))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.ijk_to_ras, OBLIQUE)
    assert not any("grid" in note or "cut off" in note for note in found.notes)


def test_a_smaller_extent_is_filled_up_without_loss(labels: np.ndarray, tmp_path: Path) -> None:
    part = Segmentation(labels[1:5, 1:6, 1:8], shifted(OBLIQUE, 1, 1, 1), ())
    write_segmentation(part, tmp_path / "l.nrrd")
    found = read_segmentation(tmp_path / "l.nrrd", scan_on(OBLIQUE, labels.shape))
    np.testing.assert_array_equal(found.labels, labels)
    assert not any("grid" in note for note in found.notes)


def test_labels_beyond_the_scan_are_cut_off_and_counted(tmp_path: Path) -> None:
    write_segmentation(Segmentation(np.ones((4, 4, 4), np.uint8), np.eye(4), ()), tmp_path / "l.nrrd")
    found = read_segmentation(tmp_path / "l.nrrd", scan_on(shifted(np.eye(4), 0, 0, 1), (4, 4, 4)))
    assert found.labels.sum() == 3 * 16
    assert found.notes[-1] == "25.0% of the labelled voxels are outside of the scan and were cut off."


def test_another_grid_is_resampled_to_the_nearest_label(labels: np.ndarray, tmp_path: Path) -> None:
    write_segmentation(Segmentation(labels, OBLIQUE, ()), tmp_path / "l.nrrd")
    # An unlike grid: other directions, half the spacing, another extent.
    angle = np.radians(30)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    like = scan_on(
        turn @ np.diag([0.5, 0.6, 1.1, 1.0]) + np.pad([[-25], [22], [5]], ((0, 1), (3, 0))), (14, 20, 30)
    )
    found = read_segmentation(tmp_path / "l.nrrd", like)
    kji = np.indices(like.shape).reshape(3, -1)
    places = np.linalg.solve(OBLIQUE, like.ijk_to_ras @ np.vstack([kji[::-1], np.ones(kji.shape[1])]))[:3]
    nearest = np.floor(places + 0.5).astype(int)
    is_inside = ((nearest >= 0) & (nearest < np.array(labels.shape[::-1])[:, None])).all(axis=0)
    expected = np.where(is_inside, labels[tuple(np.where(is_inside, nearest, 0)[::-1])], 0)
    np.testing.assert_array_equal(found.labels.ravel(), expected)
    assert expected.any()
    assert "9 x 7 x 6 voxels of 0.7043 x 0.8026 x 2.526 mm" in found.notes[1]
    np.testing.assert_array_equal(found.ijk_to_ras, like.ijk_to_ras)


def test_a_structure_smaller_than_the_voxels_is_said_to_be_lost(tmp_path: Path) -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[3, 3, 3] = 1
    write_segmentation(Segmentation(labels, np.eye(4), ()), tmp_path / "l.nrrd")
    found = read_segmentation(tmp_path / "l.nrrd", scan_on(np.diag([8.0, 8, 8, 1]), (2, 2, 2)))
    assert not found.labels.any()
    assert found.notes[-1] == "No voxel of the scan is left for label 1."


def test_labels_of_another_scan_are_refused(labels: np.ndarray, tmp_path: Path) -> None:
    write_segmentation(Segmentation(labels, OBLIQUE, ()), tmp_path / "l.nrrd")
    with pytest.raises(VolumeError, match=r"^l\.nrrd has all its labels outside of the scan"):
        read_segmentation(tmp_path / "l.nrrd", scan_on(shifted(OBLIQUE, 9, 0, 0), labels.shape))


def test_what_cannot_be_read_or_written_is_one_sentence(labels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="There is no file or folder"):
        read_segmentation(tmp_path / "missing.seg.nrrd")
    (tmp_path / "empty.seg.nrrd").touch()
    with pytest.raises(VolumeError, match=r"empty\.seg\.nrrd is empty"):
        read_segmentation(tmp_path / "empty.seg.nrrd")
    (tmp_path / "notes.txt").write_text("no labels")
    with pytest.raises(VolumeError, match=r"^notes\.txt"):
        read_segmentation(tmp_path / "notes.txt")
    with pytest.raises(VolumeError, match=r"not as '\.xyz'"):
        write_segmentation(Segmentation(labels, OBLIQUE, ()), tmp_path / "l.xyz")
    with pytest.raises(VolumeError, match="cannot be written"):
        write_segmentation(Segmentation(labels, OBLIQUE, ()), tmp_path / "missing" / "l.seg.nrrd")


def test_a_header_of_an_upload_names_no_file_elsewhere(labels: np.ndarray, tmp_path: Path) -> None:
    write_segmentation(Segmentation(labels, OBLIQUE, (Segment(1, "a"),)), tmp_path / "l.seg.nrrd")
    header, _ = (tmp_path / "l.seg.nrrd").read_bytes().split(b"\n\n", 1)
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "l.seg.nhdr").write_bytes(header + b"\ndata file: ../l.raw.gz\n\n")
    with pytest.raises(VolumeError, match="did not come with it"):
        read_segmentation(tmp_path / "up" / "l.seg.nhdr", within=tmp_path / "up")


@pytest.mark.parametrize("name", ["TS_example_ct", "STS_019_CT"])
def test_real_label_maps_fit_their_scans(name: str, scans: Path) -> None:
    from MAESILCore import read_volume

    ending = "gtv" if name.startswith("STS") else "seg"
    volume = read_volume(scans / "test" / f"{name}.nii.gz")
    path = scans / "test" / f"{name}_{ending}.nii.gz"
    found = read_segmentation(path, volume)
    assert found.labels.shape == volume.shape
    expected = np.asarray(nibabel.load(path).dataobj).T
    np.testing.assert_array_equal(found.labels, expected)
    assert not any("grid" in note for note in found.notes)
    # The same labels, found again on a turned scan.
    turned = replace(volume, voxels=volume.voxels[::-1], ijk_to_ras=flipped(volume))
    np.testing.assert_array_equal(read_segmentation(path, turned).labels, expected[::-1])


def flipped(volume: Volume) -> np.ndarray:
    """The geometry of a volume whose slices are in the opposite order."""
    flip = np.diag([1.0, 1, -1, 1])
    flip[2, 3] = volume.shape[0] - 1
    return volume.ijk_to_ras @ flip
