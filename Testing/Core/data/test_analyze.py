"""Analyze pairs and MGH files: no damaged stream is read as other HU, and a missing orientation is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from niftiscans import AFFINE

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

NO_ORIENTATION = "The file stores no orientation: which side is left is a guess."


def write_pair(folder: Path, hu: np.ndarray, header: str = ".hdr", data: str = ".img") -> Path:
    """An Analyze pair with the given endings; the path of its header."""
    nibabel.AnalyzeImage(hu.T, AFFINE).to_filename(folder / "plain.img")
    for plain, ending in ((".hdr", header), (".img", data)):
        content = (folder / f"plain{plain}").read_bytes()
        (folder / f"scan{ending}").write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    return folder / f"scan{header}"


@pytest.mark.parametrize("header", [".hdr", ".hdr.gz"])
@pytest.mark.parametrize("data", [".img", ".img.gz"])
def test_each_half_of_an_analyze_pair_may_be_compressed(
    header: str, data: str, hu: np.ndarray, tmp_path: Path
) -> None:
    write_pair(tmp_path, hu, header, data)
    expected = nibabel.load(tmp_path / "plain.hdr").affine
    for ending in (header, data):
        volume = read_volume(tmp_path / f"scan{ending}")
        assert np.array_equal(volume.voxels, hu)
        np.testing.assert_allclose(volume.ijk_to_ras, expected, atol=1e-6)
        assert volume.notes == (NO_ORIENTATION,)


def test_no_flipped_bit_of_compressed_analyze_voxels_gives_other_hu(hu: np.ndarray, tmp_path: Path) -> None:
    path = write_pair(tmp_path, hu, ".hdr.gz", ".img.gz")
    data = tmp_path / "scan.img.gz"
    whole = data.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for place in [*rng.integers(10, len(whole), 56), *range(len(whole) - 8, len(whole))]:
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        data.write_bytes(content)
        try:
            voxels = read_volume(path).voxels
        except VolumeError:
            refused += 1
        else:
            assert np.array_equal(voxels, hu)
    assert refused > 55


def test_a_broken_checksum_of_an_analyze_header_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    path = write_pair(tmp_path, hu, ".hdr.gz", ".img.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="cut short or damaged"):
        read_volume(path)


def test_bytes_behind_analyze_voxels_are_counted(hu: np.ndarray, tmp_path: Path) -> None:
    path = write_pair(tmp_path, hu)
    with (tmp_path / "scan.img").open("ab") as file:
        file.write(bytes(20))
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes[1].startswith("20 bytes behind the voxels were ignored")


def test_analyze_voxels_that_begin_before_their_file_are_refused(hu: np.ndarray, tmp_path: Path) -> None:
    path = write_pair(tmp_path, hu)
    content = bytearray(path.read_bytes())
    content[108:112] = np.array(-1, "<f4").tobytes()
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"voxels begin at byte -1|vox offset"):
        read_volume(path)


@pytest.mark.parametrize("kind", [nibabel.Spm99AnalyzeImage, nibabel.Spm2AnalyzeImage])
@pytest.mark.parametrize("has_matrix", [True, False])
def test_pairs_of_spm_are_read_as_nibabel_reads_them(
    kind: type, has_matrix: bool, hu: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scan.img"
    nibabel.save(kind(hu.T.astype(np.float64) * 0.37, AFFINE, dtype=np.int16), path)
    if not has_matrix:
        path.with_suffix(".mat").unlink()
    image = nibabel.load(path)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.voxels, image.get_fdata().T, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(volume.ijk_to_ras, image.affine, atol=1e-6)


@pytest.mark.parametrize("name", ["scan.IMG", "scan.img.gz"])
def test_the_matrix_of_spm_is_found_beside_other_endings(name: str, hu: np.ndarray, tmp_path: Path) -> None:
    image = nibabel.Spm2AnalyzeImage(hu.T.astype(np.int16), AFFINE)
    nibabel.save(image, tmp_path / "plain.img")
    upper = str.upper if "IMG" in name else str
    for kind in ("hdr", "img", "mat"):
        content = (tmp_path / f"plain.{kind}").read_bytes()
        is_gzip = name.lower().endswith(".gz")
        target = tmp_path / ("scan." + upper(kind + ".gz" * is_gzip))
        target.write_bytes(gzip.compress(content) if is_gzip else content)
    np.testing.assert_allclose(read_volume(tmp_path / name).ijk_to_ras, AFFINE, atol=1e-5)


@pytest.mark.parametrize("name", ["scan.mgh", "scan.mgz"])
@pytest.mark.parametrize("flag", [0, 1])
def test_an_mgh_file_whose_directions_do_not_count_says_so(
    name: str, flag: int, hu: np.ndarray, tmp_path: Path
) -> None:
    content = bytearray(nibabel.MGHImage(np.ascontiguousarray(hu.T), AFFINE).to_bytes())
    content[28:30] = np.array(flag, ">i2").tobytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("mgz") else content)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes == (() if flag else (NO_ORIENTATION,))
    np.testing.assert_allclose(
        volume.ijk_to_ras, nibabel.MGHImage.from_bytes(bytes(content)).affine, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [">u1", ">i2", ">u2", ">i4", ">f4"])
def test_every_type_of_an_mgh_file_is_read(dtype: str, tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(0, 250, (4, 5, 6)).astype(dtype)
    nibabel.save(nibabel.MGHImage(np.ascontiguousarray(stored.T), AFFINE), tmp_path / "scan.mgz")
    assert np.array_equal(read_volume(tmp_path / "scan.mgz").voxels, stored)


@pytest.mark.parametrize("length", [0, 20, 100, 283])
def test_a_cut_mgh_header_is_refused(length: int, hu: np.ndarray, tmp_path: Path) -> None:
    content = nibabel.MGHImage(np.ascontiguousarray(hu.T), AFFINE).to_bytes()
    (tmp_path / "scan.mgh").write_bytes(content[:length])
    with pytest.raises(VolumeError, match=r"scan\.mgh (is empty|is cut short|has no readable)"):
        read_volume(tmp_path / "scan.mgh")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, 2, "no readable MGH header"),
        (4, 0, "degenerate|only one slice"),
        (4, -9, "only one slice"),
        (20, 7, "MGH"),
    ],
)
def test_a_damaged_mgh_header_is_refused_without_a_word_beside(
    place: int, value: int, words: str, hu: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(nibabel.MGHImage(np.ascontiguousarray(hu.T), AFFINE).to_bytes())
    content[place : place + 4] = np.array(value, ">i4").tobytes()
    (tmp_path / "scan.mgh").write_bytes(content)
    with pytest.raises(VolumeError, match=words):
        read_volume(tmp_path / "scan.mgh")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("code", [0, 3])
def test_a_damaged_analyze_header_is_refused_without_a_word_beside(
    code: int, hu: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_pair(tmp_path, hu)
    content = bytearray(path.read_bytes())
    content[70:72] = np.array(code, "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="has no readable NIfTI, MGH or Analyze header"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")
