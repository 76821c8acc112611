"""NIfTI headers: which matrix counts, where the voxels begin, and what is repaired or refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from niftiscans import AFFINE

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError


def overwrite(path: Path, place: int, kind: str, *values: float) -> Path:
    """Change numbers of a header that is not compressed."""
    content = bytearray(path.read_bytes())
    new = np.array(values, kind).tobytes()
    content[place : place + len(new)] = new
    path.write_bytes(content)
    return path


#: Turned by 180 degrees about k, as scanners write supine patients: the quaternion is (0, 0, 1) and rounding shows.
TURNED = np.diag([-0.7, -0.8, 2.5, 1.0])


@pytest.mark.parametrize(
    ("length", "is_accepted"),
    [(1.0, True), (1.000001, True), (1.00001, True), (1.00002, False), (1.001, False)],
)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_qform_that_rounding_made_too_long_is_forgiven(
    kind: type, length: float, is_accepted: bool, hu: np.ndarray, tmp_path: Path
) -> None:
    image = kind(hu.T, None, dtype=np.int16)
    image.set_qform(TURNED, code=1)
    nibabel.save(image, tmp_path / "scan.nii")
    place, number = (264, "<f4") if kind is nibabel.Nifti1Image else (368, "<f8")
    path = overwrite(tmp_path / "scan.nii", place, number, length)
    if is_accepted:
        volume = read_volume(path)
        np.testing.assert_allclose(volume.ijk_to_ras, TURNED, atol=1e-5)
        assert volume.notes == ()
    else:
        with pytest.raises(
            VolumeError, match=rf"no valid qform \(its quaternion has the length {length}\) and no sform"
        ):
            read_volume(path)


def test_a_small_turn_away_from_180_degrees_is_kept(hu: np.ndarray, tmp_path: Path) -> None:
    """Forgiving too long quaternions must not round those that are a little shorter."""
    angle = np.radians(179.8)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image = nibabel.Nifti1Image(hu.T, None, dtype=np.int16)
    image.set_qform(turn @ np.diag([0.7, 0.8, 2.5, 1.0]), code=1)
    nibabel.save(image, tmp_path / "scan.nii")
    stated = nibabel.load(tmp_path / "scan.nii").affine
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").ijk_to_ras, stated, atol=1e-7)


@pytest.mark.parametrize("length", [1.001, 30.0, np.nan, np.inf])
def test_an_invalid_qform_beside_a_good_sform_does_no_harm(
    length: float, hu: np.ndarray, save: Callable[..., Path]
) -> None:
    path = save(hu.T, lambda image: image.set_qform(AFFINE, code=1), name="scan.nii")
    volume = read_volume(overwrite(path, 264, "<f4", length))
    np.testing.assert_allclose(volume.ijk_to_ras, AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "place", "number"), [(nibabel.Nifti1Image, 108, "<f4"), (nibabel.Nifti2Image, 168, "<i8")]
)
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_voxels_never_begin_inside_the_header(
    kind: type, place: int, number: str, name: str, hu: np.ndarray, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.nii"
    nibabel.save(kind(hu.T, AFFINE, dtype=np.int16), plain)
    for offset, words in (
        (0, ""),
        (16, "vox offset 16 too low"),
        (-1, "no readable"),
    ):
        overwrite(plain, place, number, offset)
        content = plain.read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        if words:
            with pytest.raises(VolumeError, match=words):
                read_volume(tmp_path / name)
        else:
            volume = read_volume(tmp_path / name)
            assert np.array_equal(volume.voxels, hu)
            assert "does not say where the voxels begin" in volume.notes[0]


def test_bytes_that_the_header_does_not_announce_are_counted(
    hu: np.ndarray, save: Callable[..., Path]
) -> None:
    path = save(hu.T, name="scan.nii")
    overwrite(path, 46, "<i2", 4)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, hu[:4])
    assert volume.notes == (
        f"{2 * hu[4:].size} bytes behind the voxels were ignored; the header does not announce them.",
    )


def test_what_is_repaired_in_a_header_is_said(hu: np.ndarray, save: Callable[..., Path]) -> None:
    path = save(hu.T, name="scan.nii")
    volume = read_volume(overwrite(path, 80, "<f4", -0.7))
    assert "not valid and was repaired: pixdim[1,2,3] should be positive" in volume.notes[0]


def test_a_name_that_is_wrong_about_pairs_is_named(hu: np.ndarray, save: Callable[..., Path]) -> None:
    path = save(hu.T, name="scan.nii")
    with pytest.raises(VolumeError, match="its voxels are in a file beside it"):
        read_volume(overwrite(path, 344, "u1", *b"ni1"))


KINDS = [nibabel.Nifti1Image, nibabel.Nifti2Image]
#: Places and types of header fields in NIfTI-1 and NIfTI-2.
OFFSET = {nibabel.Nifti1Image: (108, "f4"), nibabel.Nifti2Image: (168, "i8")}
PIXDIM = {nibabel.Nifti1Image: (76, "<f4"), nibabel.Nifti2Image: (104, "<f8")}
UNITS = {nibabel.Nifti1Image: (123, "u1"), nibabel.Nifti2Image: (500, "<i4")}


def write_with_extensions(
    path: Path, kind: type, hu: np.ndarray, lengths: tuple[int, ...], order: str = "<"
) -> int:
    """A NIfTI file with extensions of the given numbers of bytes; the byte at which its voxels begin."""
    header = kind.header_class(endianness=order)
    header.set_data_dtype(f"{order}i2")
    image = kind(hu.T, AFFINE, header)
    for length in lengths:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * (length - 8)))
    nibabel.save(image, path)
    return (352 if kind is nibabel.Nifti1Image else 544) + sum(lengths)


def state_offset(path: Path, kind: type, offset: int, order: str = "<") -> Path:
    place, number = OFFSET[kind]
    content = bytearray(path.read_bytes())
    new = np.array(offset, f"{order}{number}").tobytes()
    content[place : place + len(new)] = new
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(16,), (48, 1024)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_extensions_are_never_read_as_voxels(
    kind: type, lengths: tuple[int, ...], order: str, hu: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scan.nii"
    begin = write_with_extensions(path, kind, hu, lengths, order)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes == ()
    volume = read_volume(state_offset(path, kind, 0, order))
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes == (f"The header does not say where the voxels begin; byte {begin} was taken.",)
    for offset in (begin - sum(lengths), begin - 8):
        with pytest.raises(VolumeError, match=rf"voxels begin at byte {offset}, inside a header extension"):
            read_volume(state_offset(path, kind, offset, order))


@pytest.mark.parametrize("kind", KINDS)
def test_a_beginning_that_stays_open_is_refused(kind: type, hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    write_with_extensions(path, kind, hu, (48,))
    path.write_bytes(path.read_bytes() + bytes(30))
    with pytest.raises(VolumeError, match="does not say where its voxels begin, and the 30 bytes"):
        read_volume(state_offset(path, kind, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [8, 24, 160, -16, 1 << 30])
def test_a_damaged_length_of_an_extension_does_no_harm(
    kind: type, length: int, hu: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scan.nii"
    begin = write_with_extensions(path, kind, hu, (48,))
    volume = read_volume(overwrite(path, begin - 48, "<i4", length))
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes == ()


@pytest.mark.parametrize("offset", [0, 352])
def test_an_announced_extension_that_is_not_there_does_no_harm(
    offset: int, hu: np.ndarray, save: Callable[..., Path]
) -> None:
    path = overwrite(save(hu.T, name="scan.nii"), 348, "u1", 1)
    assert np.array_equal(read_volume(overwrite(path, 108, "<f4", offset)).voxels, hu)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("qfac", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, np.nan])
def test_the_sign_of_a_qfac_counts_as_in_itk(kind: type, qfac: float, hu: np.ndarray, tmp_path: Path) -> None:
    image = kind(hu.T, None, dtype=np.int16)
    image.set_qform(TURNED, code=1)
    nibabel.save(image, tmp_path / "scan.nii")
    volume = read_volume(overwrite(tmp_path / "scan.nii", *PIXDIM[kind], qfac))
    assert volume.orientation == ("LPI" if qfac < 0 else "LPS")
    note = (f"The header's qfac is {qfac:g}, not 1 or -1; only its sign was used.",)
    assert volume.notes == (() if qfac in (-1, 0, 1) else note)
    if kind is nibabel.Nifti1Image:
        direction = np.reshape(SimpleITK.ReadImage(str(tmp_path / "scan.nii")).GetDirection(), (3, 3))
        np.testing.assert_allclose(volume.directions, np.diag([-1, -1, 1]) @ direction, atol=1e-6)


def test_a_qfac_beside_an_sform_needs_no_note(hu: np.ndarray, save: Callable[..., Path]) -> None:
    volume = read_volume(overwrite(save(hu.T, name="scan.nii"), 76, "<f4", 3))
    assert volume.notes == ()
    np.testing.assert_allclose(volume.ijk_to_ras, AFFINE, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("count", [1, 4, 12])
def test_a_degenerate_sform_gives_way_to_a_good_qform(
    value: float, count: int, hu: np.ndarray, save: Callable[..., Path]
) -> None:
    path = save(hu.T, lambda image: image.set_qform(AFFINE, code=1), name="scan.nii")
    volume = read_volume(overwrite(path, 280, "<f4", *[value] * count))
    np.testing.assert_allclose(volume.ijk_to_ras, AFFINE, atol=1e-4)
    assert volume.notes == ("The file's sform is degenerate; the qform was used.",)


def test_a_degenerate_sform_without_a_qform_is_refused(hu: np.ndarray, save: Callable[..., Path]) -> None:
    path = save(hu.T, name="scan.nii")
    with pytest.raises(VolumeError, match="The geometry is degenerate"):
        read_volume(overwrite(path, 280, "<f4", *[0.0] * 12))
    with pytest.raises(VolumeError, match="matrix of finite numbers"):
        read_volume(overwrite(path, 280, "<f4", np.nan))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("code", "factor", "words"),
    [
        (0, 1.0, ""),
        (2 + 8, 1.0, ""),
        (3 + 8, 1e-3, "in the unit micron"),
        (3 + 64, 1e-3, "in the unit micron"),
        (1, 1e3, "in the unit meter"),
        (5, 1.0, 'in the unknown unit "code 5"'),
        (7 + 16, 1.0, 'in the unknown unit "code 7"'),
    ],
)
def test_codes_of_units_are_known_or_named(
    kind: type, code: int, factor: float, words: str, hu: np.ndarray, tmp_path: Path
) -> None:
    nibabel.save(kind(hu.T, AFFINE, dtype=np.int16), tmp_path / "scan.nii")
    volume = read_volume(overwrite(tmp_path / "scan.nii", *UNITS[kind], code))
    np.testing.assert_allclose(volume.ijk_to_ras[:3], AFFINE[:3] * factor, rtol=1e-6, atol=1e-9)
    assert words in "".join(volume.notes)
    assert bool(words) == bool(volume.notes)
