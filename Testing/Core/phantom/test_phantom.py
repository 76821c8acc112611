"""The phantom: one patient whatever the grid, another for every seed, and HU as a scanner gives them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from MAESILCore.cli import main
from MAESILCore.data.volume import read_volume
from MAESILCore.errors import ConfigError
from MAESILCore.phantom import LEGEND, Label, Phantom, make_phantom, phantom_geometry

SIZE = 64


@pytest.fixture(scope="module")
def a_phantom() -> Phantom:
    return make_phantom((SIZE, SIZE, SIZE), seed=3)


def _litres(phantom: Phantom, label: Label) -> float:
    voxel = abs(float(np.linalg.det(phantom.labels.ijk_to_ras[:3, :3])))
    return float(np.count_nonzero(phantom.labels.voxels == label)) * voxel * 1e-6


def _middle(phantom: Phantom, label: Label) -> np.ndarray:
    """Centre of mass of a label, RAS mm."""
    k, j, i = (index.mean() for index in np.nonzero(phantom.labels.voxels == label))
    return phantom.labels.ijk_to_ras[:3] @ np.array([i, j, k, 1.0])


def _hu(phantom: Phantom, label: Label) -> float:
    return float(np.median(phantom.volume.voxels[phantom.labels.voxels == label]))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_voxels(a_phantom: Phantom) -> None:
    again = make_phantom((SIZE, SIZE, SIZE), seed=3)
    np.testing.assert_array_equal(again.volume.voxels, a_phantom.volume.voxels)
    np.testing.assert_array_equal(again.labels.voxels, a_phantom.labels.voxels)


@pytest.mark.slow
def test_another_seed_gives_another_patient(a_phantom: Phantom) -> None:
    other = make_phantom((SIZE, SIZE, SIZE), seed=4)
    assert np.mean(other.labels.voxels != a_phantom.labels.voxels) > 0.02


def test_types_and_geometry_are_those_promised(a_phantom: Phantom) -> None:
    assert a_phantom.volume.voxels.dtype == np.int16
    assert a_phantom.labels.voxels.dtype == np.uint8
    assert a_phantom.volume.orientation == "LPS"
    np.testing.assert_array_equal(a_phantom.volume.ijk_to_ras, a_phantom.labels.ijk_to_ras)
    assert a_phantom.volume.looks_like_hu


def test_every_structure_of_the_chest_and_upper_belly_is_there(a_phantom: Phantom) -> None:
    present = set(np.unique(a_phantom.labels.voxels).tolist())
    assert present == set(LEGEND) - {int(Label.PELVIS)}


def test_a_grid_that_reaches_down_shows_the_pelvis() -> None:
    low = phantom_geometry((32, 48, 48), (8.0, 8.0, 6.0))
    low[2, 3] -= 250
    assert (make_phantom((32, 48, 48), ijk_to_ras=low).labels.voxels == Label.PELVIS).sum() > 100


@pytest.mark.parametrize(
    ("label", "least", "most"),
    [
        (Label.LUNG_RIGHT, 1.3, 3.2),
        (Label.LUNG_LEFT, 1.2, 3.0),
        (Label.HEART, 0.3, 0.8),
        (Label.LIVER, 0.9, 2.1),
        (Label.SPLEEN, 0.06, 0.35),
        (Label.KIDNEYS, 0.2, 0.5),
    ],
)
def test_organs_have_the_size_of_a_grown_up_s(
    a_phantom: Phantom, label: Label, least: float, most: float
) -> None:
    assert least < _litres(a_phantom, label) < most


@pytest.mark.parametrize(
    ("label", "least", "most"),
    [
        (Label.LUNG_RIGHT, -900, -780),
        (Label.LUNG_LEFT, -900, -780),
        (Label.LIVER, 90, 130),
        (Label.HEART, 80, 220),
        (Label.SPINE, 60, 500),
        (Label.RIBS, 60, 700),
        (Label.BACKGROUND, -1024, -950),
    ],
)
def test_structures_have_the_hu_of_their_tissue(
    a_phantom: Phantom, label: Label, least: float, most: float
) -> None:
    assert least < _hu(a_phantom, label) < most


def test_organs_lie_on_the_side_where_they_belong(a_phantom: Phantom) -> None:
    right, left, heart = (_middle(a_phantom, x) for x in (Label.LUNG_RIGHT, Label.LUNG_LEFT, Label.HEART))
    liver, spleen, spine = (_middle(a_phantom, x) for x in (Label.LIVER, Label.SPLEEN, Label.SPINE))
    assert right[0] > 30 > -30 > left[0]
    assert liver[0] > 20 > -20 > spleen[0]
    assert heart[0] < 0
    assert heart[1] > spine[1] + 30
    assert heart[2] > liver[2] > -150


@pytest.mark.slow
def test_without_contrast_agent_blood_is_no_brighter_than_muscle() -> None:
    plain = make_phantom((48, 48, 48), seed=3, contrast=False)
    assert _hu(plain, Label.HEART) < 60
    assert abs(_hu(plain, Label.KIDNEYS) - 34) < 15


# Permutations, flips and a doubled step in IJK: every one of these voxels is also a voxel of `a_phantom`.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "signs"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (1, -1, -1)), ((1, 0, 2), (-1, 1, -1))]
)
def test_one_point_of_the_patient_has_one_label_on_every_grid(
    a_phantom: Phantom, order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    step = np.zeros((4, 4))
    for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
        step[row, column] = 2 * sign
        step[row, 3] = 0 if sign > 0 else SIZE - 2
    step[3, 3] = 1
    half = SIZE // 2
    other = make_phantom((half, half, half), ijk_to_ras=a_phantom.volume.ijk_to_ras @ step, seed=3)
    k, j, i = np.indices((half, half, half)).reshape(3, -1)
    there = np.rint(step @ np.stack([i, j, k, np.ones_like(i)])).astype(int)
    expected = a_phantom.labels.voxels[there[2], there[1], there[0]]
    assert np.mean(expected == other.labels.voxels.ravel()) > 0.9999


@pytest.mark.slow
def test_an_oblique_and_sheared_grid_samples_the_same_patient(a_phantom: Phantom) -> None:
    geometry = phantom_geometry((48, 48, 48), (7.0, 7.5, 6.0), "RSP", oblique=17.0)
    geometry[:3, 2] += 0.2 * geometry[:3, 0]
    turned = make_phantom((48, 48, 48), ijk_to_ras=geometry, seed=3)
    k, j, i = np.indices((48, 48, 48)).reshape(3, -1)
    ras = geometry @ np.stack([i, j, k, np.ones_like(i)])
    there = np.linalg.inv(a_phantom.volume.ijk_to_ras) @ ras
    nearest = np.rint(there[:3]).astype(int)
    # Compare where a voxel of the other grid lies within a tenth of a voxel.
    close = (np.abs(there[:3] - nearest) < 0.1).all(axis=0) & ((nearest >= 0) & (nearest < SIZE)).all(axis=0)
    assert close.sum() > 300
    expected = a_phantom.labels.voxels[tuple(nearest[::-1, close])]
    assert np.mean(expected == turned.labels.voxels.ravel()[close]) > 0.93


def test_noise_is_that_asked_for_and_correlated_only_nearby() -> None:
    geometry = phantom_geometry((24, 96, 96), (1.0, 1.0, 1.5))
    quiet = make_phantom((24, 96, 96), ijk_to_ras=geometry, noise_hu=0.0)
    loud = make_phantom((24, 96, 96), ijk_to_ras=geometry, noise_hu=20.0)
    grain = loud.volume.voxels.astype(float) - quiet.volume.voxels
    assert 12 < grain.std() < 22
    neighbour = np.mean(grain[:, :, 1:] * grain[:, :, :-1]) / grain.var()
    distant = np.mean(grain[:, :, 8:] * grain[:, :, :-8]) / grain.var()
    assert 0.2 < neighbour < 0.7
    assert abs(distant) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 40), (40, 1, 7)])
def test_thin_grids_work(shape: tuple[int, int, int]) -> None:
    assert make_phantom(shape).volume.shape == shape


def test_the_table_is_outside_the_body(a_phantom: Phantom) -> None:
    air = (a_phantom.labels.voxels == Label.BACKGROUND) & (a_phantom.volume.voxels > -700)
    rows = np.nonzero(air.any(axis=(0, 2)))[0]
    body = np.nonzero((a_phantom.labels.voxels == Label.BODY).any(axis=(0, 2)))[0]
    assert rows.size > 0
    assert rows.max() > body.max()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": (0, 4, 4)}, "three sizes"),
        ({"shape": (4, 4, 4), "seed": -1}, "negative"),
        ({"shape": (4, 4, 4), "spacing": (1.0, 0.0, 1.0)}, "above 0 mm"),
        ({"shape": (4, 4, 4), "ijk_to_ras": np.zeros((4, 4))}, "4 x 4"),
        ({"shape": (4, 4, 4), "ijk_to_ras": np.eye(4), "spacing": (1.0, 1.0, 1.0)}, "not both"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_sentence(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_phantom(**arguments)


def test_a_grid_without_voxels_has_no_geometry() -> None:
    with pytest.raises(ConfigError, match="three sizes"):
        phantom_geometry((10, 10, 0))


def test_a_wrong_orientation_is_refused() -> None:
    with pytest.raises(ConfigError, match="three letters"):
        phantom_geometry((4, 4, 4), orientation="LRS")


@pytest.mark.slow
def test_a_scan_of_a_common_size_takes_seconds() -> None:
    start = time.process_time()
    make_phantom((128, 128, 128))
    assert time.process_time() - start < 15


@pytest.mark.slow
def test_the_command_writes_a_scan_and_its_labels(tmp_path: Path) -> None:
    scan, labels = tmp_path / "scan.nii.gz", tmp_path / "labels.nrrd"
    arguments = [
        "phantom",
        str(scan),
        "--shape",
        "20",
        "24",
        "28",
        "--orientation",
        "RAS",
        "--labels",
        str(labels),
    ]
    assert main([*arguments, "--seed", "2"]) == 0
    written = read_volume(scan)
    assert written.shape == (28, 24, 20)
    assert written.orientation == "RAS"
    expected = make_phantom(
        (28, 24, 20), ijk_to_ras=phantom_geometry((28, 24, 20), orientation="RAS"), seed=2
    )
    np.testing.assert_array_equal(written.voxels, expected.volume.voxels)
    np.testing.assert_array_equal(read_volume(labels).voxels, expected.labels.voxels)
    np.testing.assert_allclose(written.ijk_to_ras, expected.volume.ijk_to_ras, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["{scan}", "--labels", "{folder}/./scan.nii.gz"], "Both outputs have the path"),
        (["{scan}", "--labels", "{folder}/labels.txt"], "not as '.txt'"),
        (["{scan}", "--labels", "{folder}/none/labels.nrrd"], "cannot be written: there is no folder"),
        (["{folder}/scan.png"], "not as '.png'"),
        (["{folder}/folder.nrrd"], "is a folder: give the name of a file"),
        (["{scan}", "--shape", "0", "10", "10"], "three sizes"),
    ],
)
def test_the_command_refuses_before_it_writes_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    (tmp_path / "folder.nrrd").mkdir()
    scan = tmp_path / "scan.nii.gz"
    arguments = [part.format(scan=scan, folder=tmp_path) for part in more]
    assert main(["phantom", *arguments, *([] if "--shape" in more else ["--shape", "8", "8", "8"])]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["folder.nrrd"]
