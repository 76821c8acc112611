"""`maesil index` and `maesil search`: from a folder of scans to similar places and their pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MAESILCore import Volume, cli, write_volume
from MAESILCore.downstream.search.thumbnails import SIZE, thumbnail

MATRIX = np.diag([-0.9, -0.9, 2.5, 1.0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "scans"
    place.mkdir()
    for seed, name in enumerate(("one [1].nii.gz", "two.nrrd", "three.nrrd")):
        coarse = np.random.default_rng(seed).integers(-600, 600, (5, 9, 10))
        voxels = np.kron(coarse, np.ones((4, 4, 4), dtype=int)).astype(np.int16)
        write_volume(Volume(voxels, MATRIX), place / name)
    (place / "bad.nii.gz").write_bytes(b"text")
    return place


@pytest.fixture
def an_index(folder: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "index"
    assert cli.main(["index", str(folder), "--out", str(out), "--model", str(tiny_model)]) == 0
    said = capsys.readouterr()
    assert "holds 54 places of 3 scans (3 read now, 1 left out)" in said.out
    assert said.err.count("bad.nii.gz") == 1
    return out


def test_places_are_listed_and_drawn(
    an_index: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    command = ["search", str(an_index), str(folder / "two.nrrd"), "--at=-18,-18,25"]
    command += ["--thumbnails", str(pictures)]
    assert cli.main([*command, "--most", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["rank"] for one in found] == [1, 2]
    assert found[0]["similarity"] >= found[1]["similarity"]
    assert {path.name for path in pictures.iterdir()} == {"place-001.png", "place-002.png"}
    with Image.open(pictures / "place-001.png") as picture:
        assert picture.size == (SIZE, SIZE)
    assert cli.main([*command, "--most", "1"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 2
    assert found[0]["scan"] in said
    assert f"{found[0]['similarity']:.3f}" in said
    assert {path.name for path in pictures.iterdir()} == {"place-001.png"}


def test_moved_scans_are_found_by_an_option_and_lost_ones_noted(
    an_index: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, pictures = tmp_path / "moved", tmp_path / "pictures"
    shutil.move(folder, moved)
    command = ["search", str(an_index), str(moved / "two.nrrd"), "--roi", "0:20,0:20,0:20", "--most", "3"]
    command += ["--thumbnails", str(pictures), "--device", "cpu"]
    assert cli.main(command) == 0
    assert "No thumbnails of " in capsys.readouterr().err
    assert not list(pictures.iterdir())
    assert cli.main([*command, "--scans", str(moved)]) == 0
    assert "No thumbnails" not in capsys.readouterr().err
    assert list(pictures.iterdir())


def test_mistakes_are_one_sentence(an_index: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = str(folder / "two.nrrd")
    for arguments, sentence in (
        ([str(an_index), scan], "Give a place with --at R,A,S in mm, or a region with --roi"),
        ([str(an_index), scan, "--at=1,2"], "give R, A and S in mm, such as --at=-12.5,30,410"),
        ([str(an_index), scan, "--at=1,2,3", "--roi", "0:9,0:9,0:9"], "but not both"),
        ([str(an_index), scan, "--roi", "0:9"], "is not of the form i0:i1,j0:j1,k0:k1"),
        ([str(an_index), scan, "--at=900,2,3"], "is outside the scan"),
        ([str(folder), scan, "--at=1,2,3"], "is no index"),
    ):
        assert cli.main(["search", *arguments]) == 2
        said = capsys.readouterr().err
        assert sentence in " ".join(said.split())
    assert cli.main(["index", str(folder / "none"), "--out", str(an_index)]) == 2
    assert "none" in capsys.readouterr().err


def test_a_thumbnail_is_an_axial_cut_around_its_place() -> None:
    """A bright ball left of, behind and above the middle is at the cross; a darker one to its left is right of it."""
    matrix = np.diag([-1.0, 1.0, 2.0, 1.0])  # i runs to the left, j to the front
    k, j, i = np.indices((20, 90, 100))
    voxels = np.full((20, 90, 100), -500, np.int16)
    voxels[(2 * (k - 12)) ** 2 + (j - 30) ** 2 + (i - 60) ** 2 < 100] = 500
    voxels[(2 * (k - 12)) ** 2 + (j - 40) ** 2 + (i - 90) ** 2 < 60] = 0
    picture = thumbnail(Volume(voxels, matrix), (-60.0, 30.0, 24.0))
    middle, per_mm = SIZE // 2, SIZE / 160
    assert picture[middle, middle].tolist() == [255, 255, 255]
    assert picture[middle, middle + 9].tolist() == [255, 210, 63]
    right, up = middle + round(30 * per_mm), middle - round(10 * per_mm)
    assert abs(int(picture[up, right, 0]) - 170) < 3
    assert picture[up, middle - round(30 * per_mm)].tolist() == [85, 85, 85]
    outside = thumbnail(Volume(voxels, matrix), (0.0, 0.0, 0.0))
    assert not outside[: middle - 20, : middle - 3].any()
    assert (outside[middle - 40 : middle - 20, middle + 3 : middle + 40] == 85).all()
