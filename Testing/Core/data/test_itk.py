"""NRRD and MetaImage keep voxels and matrix, and what is cut short or corrupt is refused."""

from __future__ import annotations

import errno
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.errors import VolumeError

SHEARED_DIRECTIONS = "(0.7,0,0) (0,0.8,0) (0,0.75,2.4)"


def nrrd_text(space: str, directions: str = SHEARED_DIRECTIONS, more: str = "") -> str:
    return (
        "NRRD0005\n# a comment: with a colon\ntype: short\ndimension: 3\n"
        f"{space}sizes: 9 7 6\nspace directions: {directions}\nspace origin: (1,2,3)\n"
        f"kinds: domain domain domain\nendian: little\nencoding: raw\nkey:=value: text\n{more}\n"
    )


def meta_image_text(hu: np.ndarray, more: str = "") -> str:
    return (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"{more}Offset = 1 2 3\nElementSpacing = 0.7 0.8 2.4\n"
        f"DimSize = {' '.join(map(str, hu.shape[::-1]))}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
    ],
)
def test_each_anatomical_nrrd_space_becomes_ras_with_its_shear(
    space: str, signs: tuple[int, int, int], hu: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scan.nrrd"
    path.write_bytes(nrrd_text(f"space: {space}\n").encode() + hu.tobytes())
    volume = read_volume(path)
    columns = np.array([[0.7, 0, 0, 1], [0, 0.8, 0.75, 2], [0, 0, 2.4, 3]])
    np.testing.assert_allclose(volume.ijk_to_ras[:3], columns * np.array(signs)[:, None], atol=1e-12)
    assert np.array_equal(volume.voxels, hu)
    assert volume.is_sheared
    assert any("sheared" in note for note in volume.notes)


def test_a_nrrd_without_anatomical_space_says_so(hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "scan.nrrd"
    path.write_bytes(nrrd_text("space: scanner-xyz\n").encode() + hu.tobytes())
    assert "no anatomical space" in read_volume(path).notes[0]


def test_nrrd_space_units_are_respected(hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "scan.nrrd"
    text = nrrd_text("space: RAS\n", "(700,0,0) (0,800,0) (0,0,2400)", 'space units: "um" "um" "um"\n')
    path.write_bytes(text.encode() + hu.tobytes())
    assert read_volume(path).spacing == pytest.approx((0.7, 0.8, 2.4))


@pytest.mark.parametrize("directions", ["(0.7,0,0) (0,x,0) (0,0,2.4)", "(0.7,0) (0,0.8) (0,1)"])
def test_nrrd_directions_that_are_not_three_numbers_are_refused(directions: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.nrrd"
    path.write_text(nrrd_text("space: RAS\n", directions))
    with pytest.raises(VolumeError, match="space directions"):
        read_volume(path)


def test_the_nrrd_header_and_simpleitk_agree_on_real_scans(scans: Path) -> None:
    paths = [path for kind in ("train", "test", "mri") for path in (scans / kind).glob("*.n[rh]*d*")]
    paths = [path for path in paths if path.suffix in (".nrrd", ".nhdr")]
    assert len(paths) >= 6
    for path in paths:
        image = SimpleITK.ReadImage(str(path))
        last = [length - 1 for length in image.GetSize()]
        stated = read_volume(path).ijk_to_ras
        position = np.array([-1, -1, 1]) * image.TransformIndexToPhysicalPoint(last)
        np.testing.assert_allclose(stated @ [*last, 1], [*position, 1], atol=1e-6)


@pytest.mark.slow
@given(
    angle=st.floats(-3.1, 3.1),
    shear=st.sampled_from([0.0, 0.3]),
    spacing=st.tuples(*[st.floats(0.1, 10.0)] * 3),
    flip=st.sampled_from([1, -1]),
    extension=st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"]),
)
def test_any_geometry_comes_back_from_every_format_that_can_hold_it(
    angle: float,
    shear: float,
    spacing: tuple[float, float, float],
    flip: int,
    extension: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    turned = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), shear], [0, 0, flip]]
    )
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([turned * np.array(spacing), [100.0, -200.0, 300.0]])
    voxels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4) - 1000
    path = tmp_path_factory.mktemp("trip") / f"scan{extension}"
    if shear and extension.startswith(".m"):
        with pytest.raises(VolumeError, match="shear"):
            write_volume(Volume(voxels, matrix), path)
        return
    write_volume(Volume(voxels, matrix), path)
    again = read_volume(path)
    assert again.voxels.dtype == np.int16
    assert np.array_equal(again.voxels, voxels)
    corner = np.array([511.0, 511.0, 511.0, 1.0])
    exactness = 1e-3 if extension.startswith(".nii") else 1e-9
    np.testing.assert_allclose(again.ijk_to_ras @ corner, matrix @ corner, atol=exactness)
    np.testing.assert_allclose(again.ijk_to_ras[:, 3], matrix[:, 3], atol=1e-4)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("given_type", "stored_type"),
    [
        (np.bool_, np.uint8),
        (np.uint8, np.uint8),
        (np.int8, np.int8),
        (np.uint16, np.uint16),
        (np.int32, np.int32),
        (np.int64, np.int16),
        (np.float16, np.float32),
        (np.float32, np.float32),
    ],
)
def test_every_type_is_stored_in_one_that_the_format_has(
    extension: str, given_type: type, stored_type: type, tmp_path: Path
) -> None:
    voxels = (np.arange(24).reshape(2, 3, 4) % 2).astype(given_type)
    write_volume(Volume(voxels, np.eye(4)), tmp_path / f"scan{extension}")
    again = read_volume(tmp_path / f"scan{extension}")
    assert again.voxels.dtype == stored_type
    assert np.array_equal(again.voxels, voxels.astype(stored_type))


def test_integers_of_64_bits_keep_their_values(tmp_path: Path) -> None:
    for largest, stored_type in ((100_000, np.int32), (2**40, np.float32)):
        voxels = np.full((2, 2, 2), largest, np.int64)
        write_volume(Volume(voxels, np.eye(4)), tmp_path / "scan.nii")
        again = read_volume(tmp_path / "scan.nii")
        assert again.voxels.dtype == stored_type
        assert again.value_range == (largest, largest)


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("name", ["t.nrrd", "t.nhdr", "t.mha", "t.mhd"])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_truncated_file_is_refused(
    name: str,
    is_compressed: bool,
    share: float,
    hu: np.ndarray,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(hu), str(tmp_path / name), useCompression=is_compressed)
    assert np.array_equal(read_volume(tmp_path / name).voxels, hu)
    data = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    kept = data.stat().st_size - int((1 - share) * hu.nbytes / (2 if is_compressed else 1))
    data.write_bytes(data.read_bytes()[:kept])
    capfd.readouterr()
    with pytest.raises(VolumeError, match="cut short or damaged"):
        read_volume(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["t.nrrd", "t.mha"])
def test_a_corrupt_compressed_stream_is_refused(name: str, hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / name
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(hu), str(path), useCompression=True)
    content = bytearray(path.read_bytes())
    content[-200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="cut short or damaged"):
        read_volume(path)


@pytest.mark.parametrize(("name", "data"), [("t.nhdr", "t.raw"), ("t.mhd", "t.raw")])
def test_a_header_without_its_data_file_is_refused(
    name: str, data: str, hu: np.ndarray, tmp_path: Path
) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(hu), str(tmp_path / name), useCompression=False)
    (tmp_path / data).unlink()
    with pytest.raises(VolumeError, match=r"t\.raw, which is not beside it"):
        read_volume(tmp_path / name)


def test_a_compressed_meta_image_needs_no_size_of_its_stream(hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "t.mha"
    path.write_bytes(meta_image_text(hu, "CompressedData = True\n").encode() + zlib.compress(hu.tobytes()))
    assert np.array_equal(read_volume(path).voxels, hu)


@pytest.mark.parametrize("skipped", [0, 16, -1])
def test_a_detached_meta_image_may_skip_a_header(skipped: int, hu: np.ndarray, tmp_path: Path) -> None:
    text = meta_image_text(hu, f"HeaderSize = {skipped}\n").replace("LOCAL", "t.bin")
    (tmp_path / "t.mhd").write_text(text)
    (tmp_path / "t.bin").write_bytes(bytes(16 if skipped else 0) + hu.tobytes())
    assert np.array_equal(read_volume(tmp_path / "t.mhd").voxels, hu)
    (tmp_path / "t.mhd").write_text(text.replace(f"= {skipped}\n", "= x\n"))
    with pytest.raises(VolumeError, match="HeaderSize"):
        read_volume(tmp_path / "t.mhd")


def test_a_plain_meta_image_is_lps(hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "t.mha"
    path.write_bytes(meta_image_text(hu).encode() + hu.tobytes())
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, hu)
    assert volume.orientation == "LPS"
    assert volume.origin == (-1.0, -2.0, 3.0)


@pytest.mark.parametrize("name", ["t.nrrd", "t.mha"])
@pytest.mark.parametrize("content", [b"", b"no image", b"NRRD0004\ntype: short\n\n", b"DimSize = 1\n"])
def test_a_file_that_is_no_image_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=name):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["t.nrrd", "t.mha"])
@pytest.mark.parametrize(
    ("array", "is_vector", "words"),
    [
        (np.zeros((4, 5, 6, 3), np.uint8), True, "3 values per voxel"),
        (np.zeros((1, 5, 6), np.int16), False, "only one slice"),
        (np.zeros((5, 6), np.int16), False, "only one slice"),
        (np.zeros((3, 4, 5, 6), np.int16), False, "3 frames"),
    ],
)
def test_an_image_that_is_not_real_and_3d_is_refused(
    name: str, array: np.ndarray, is_vector: bool, words: str, tmp_path: Path
) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=is_vector), str(tmp_path / name))
    with pytest.raises(VolumeError, match=words):
        read_volume(tmp_path / name)


def test_a_complex_nrrd_is_refused(tmp_path: Path) -> None:
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((4, 5, 6), np.complex64)), str(tmp_path / "t.nrrd")
    )
    with pytest.raises(VolumeError, match="complex"):
        read_volume(tmp_path / "t.nrrd")


def test_a_meta_image_of_a_single_frame_is_squeezed(hu: np.ndarray, tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(hu[None], isVector=False), str(tmp_path / "t.mha"))
    volume = read_volume(tmp_path / "t.mha")
    assert np.array_equal(volume.voxels, hu)
    assert "9 x 7 x 6 x 1" in volume.notes[0]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    hu: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.mhd"
    write_volume(Volume(hu, np.eye(4)), path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(SimpleITK, "WriteImage", fail)
    with pytest.raises(VolumeError, match="cannot be written"):
        write_volume(Volume(hu + 1, np.eye(4)), path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["t.nii.gz", "t.mgz", "t.nrrd", "t.mha", "t.dcm", "t"])
def test_a_file_that_may_not_be_read_is_named_as_such(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"anything")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VolumeError, match=r"cannot be read: [Pp]ermission denied"):
        read_volume(tmp_path / name)


def test_a_file_is_asked_for_no_series(hu: np.ndarray, tmp_path: Path) -> None:
    write_volume(Volume(hu, np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(VolumeError, match="a series can be chosen from a DICOM folder only"):
        read_volume(tmp_path / "scan.nii", series="2")


def test_a_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"a picture")
    with pytest.raises(VolumeError, match=r"scan\.png has no supported format: .* \.nrrd"):
        read_volume(tmp_path / "scan.png")
    with pytest.raises(VolumeError, match="There is no file or folder"):
        read_volume(tmp_path / "nowhere.nii")


def test_a_detached_meta_image_is_written_as_a_pair(hu: np.ndarray, tmp_path: Path) -> None:
    write_volume(Volume(hu, np.eye(4)), tmp_path / "scan.mhd")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scan.mhd", "scan.zraw"]
    assert np.array_equal(read_volume(tmp_path / "scan.mhd").voxels, hu)


@pytest.mark.parametrize(
    ("place", "words"), [("scan.png", "not as"), ("scan", "not as"), ("nowhere/scan.nii", "no such file")]
)
def test_a_place_or_format_that_can_not_be_written_is_named(
    place: str, words: str, hu: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(VolumeError, match=words):
        write_volume(Volume(hu, np.eye(4)), tmp_path / place)
