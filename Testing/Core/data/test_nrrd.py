"""NRRD headers: units become mm, and what a header leaves out is named and never dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

BEGIN = "NRRD0005\ntype: short\ndimension: 3\nsizes: 9 7 6\nendian: little\nencoding: raw\n"
NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 9 7 6\n"
    "space directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (0,0,0)\nendian: little\n"
)
NO_DIRECTIONS = "The header states no space directions: the axes were taken along those of its space."
NO_SPACING = "The header does not state all spacings: 1 mm was taken."
NO_SPACE = "The header states no anatomical space: which side is left is a guess."
NO_ORIGIN = "The header states no space origin: the position in space is a guess."


def write(folder: Path, hu: np.ndarray, fields: str) -> Path:
    (folder / "scan.nrrd").write_bytes(f"{BEGIN}{fields}\n".encode() + hu.tobytes())
    return folder / "scan.nrrd"


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *[(unit, 1000.0) for unit in ("m", "meter", "meters", "metres")],
        *[(unit, 10.0) for unit in ("cm", "centimeters")],
        *[(unit, 1e-3) for unit in ("um", "µm", "μm", "micron", "microns", "Micrometers", "micrometres")],
        *[(unit, 1e-6) for unit in ("nm", "nanometers")],
        *[(unit, 25.4) for unit in ("in", "inch", "inches")],
    ],
)
@pytest.mark.parametrize("has_space", [True, False])
def test_units_of_a_nrrd_become_mm_with_a_note(
    unit: str, factor: float, has_space: bool, hu: np.ndarray, tmp_path: Path
) -> None:
    if has_space:
        header = NRRD + f'space units: "{unit}" "{unit}" "{unit}"\nencoding: raw\n\n'
    else:
        header = (
            "NRRD0005\ntype: short\ndimension: 3\nsizes: 9 7 6\nspacings: 0.7 0.8 2.5\n"
            f'units: "{unit}" "{unit}" "{unit}"\nendian: little\nencoding: raw\n\n'
        )
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + hu.tobytes())
    volume = read_volume(tmp_path / "scan.nrrd")
    assert volume.spacing == pytest.approx((0.7 * factor, 0.8 * factor, 2.5 * factor))
    assert volume.notes[0] == f"The file gives lengths in the unit {unit}; they were turned into mm."


def test_a_micro_sign_in_latin_1_is_known(hu: np.ndarray, tmp_path: Path) -> None:
    header = NRRD + 'space units: "µm" "µm" "µm"\nencoding: raw\n\n'
    (tmp_path / "scan.nrrd").write_bytes(header.encode("latin-1") + hu.tobytes())
    assert read_volume(tmp_path / "scan.nrrd").spacing == pytest.approx((0.7e-3, 0.8e-3, 2.5e-3))


@pytest.mark.parametrize("unit", ["parsec", "pixels", "1"])
def test_a_unit_that_is_not_known_is_named(unit: str, hu: np.ndarray, tmp_path: Path) -> None:
    header = NRRD + f'space units: "{unit}" "mm" "mm"\nencoding: raw\n\n'
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + hu.tobytes())
    volume = read_volume(tmp_path / "scan.nrrd")
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert volume.notes == (f'The file gives lengths in the unknown unit "{unit}"; they were taken as mm.',)


@pytest.mark.parametrize(
    ("field", "stated"),
    [
        *[(field, " ".join(['"um"'] * count)) for field in ("space units", "units") for count in (1, 2, 3)],
        ("space units", '"um" "um" "um" "s"'),
    ],
)
def test_units_for_some_axes_are_taken_for_all_with_a_note(
    field: str, stated: str, hu: np.ndarray, tmp_path: Path
) -> None:
    fields = "space: left-posterior-superior\nspace directions: (700,0,0) (0,800,0) (0,0,2500)\n"
    path = write(tmp_path, hu, f"{fields}space origin: (1000,2000,3000)\n{field}: {stated}\n")
    volume = read_volume(path)
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert volume.origin == pytest.approx((-1, -2, 3))
    assert volume.notes[0] == "The file gives lengths in the unit um; they were turned into mm."
    count = stated.count("um")
    more = (f'The header states units of {count} of 3 axes; "um" was taken for all.',) if count < 3 else ()
    assert volume.notes[1:] == more


@pytest.mark.parametrize("field", ["space units", "units"])
def test_units_that_differ_and_are_too_few_are_refused(field: str, hu: np.ndarray, tmp_path: Path) -> None:
    fields = (
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    )
    with pytest.raises(VolumeError, match="states units of 2 of 3 axes, and they differ: correct the header"):
        read_volume(write(tmp_path, hu, f'{fields}{field}: "mm" "um"\n'))


@pytest.mark.parametrize(
    ("space", "signs", "notes"),
    [
        ("space: left-posterior-superior\n", (-1, -1, 1), (NO_SPACING, NO_DIRECTIONS)),
        ("space: right-anterior-superior\n", (1, 1, 1), (NO_SPACING, NO_DIRECTIONS)),
        ("space: LAS\n", (-1, 1, 1), (NO_SPACING, NO_DIRECTIONS)),
        ("space dimension: 3\n", (-1, -1, 1), (NO_SPACING, NO_SPACE)),
    ],
)
def test_an_origin_without_directions_is_kept(
    space: str, signs: tuple[int, int, int], notes: tuple[str, ...], hu: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path, hu, f"{space}space origin: (10,-20,30)\n")
    volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
    assert np.array_equal(volume.voxels, hu)
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 3], np.array(signs) * (10, -20, 30))
    np.testing.assert_allclose(volume.ijk_to_ras[:3, :3], np.diag(signs))
    np.testing.assert_allclose(volume.origin, np.array([-1, -1, 1]) * image.GetOrigin())
    assert volume.notes == notes


def test_spacings_and_an_origin_without_directions_are_kept(hu: np.ndarray, tmp_path: Path) -> None:
    fields = 'space: LPS\nspacings: 700 800 2500\nunits: "um" "um" "um"\nspace origin: (1,-2,3)\n'
    volume = read_volume(write(tmp_path, hu, f'{fields}space units: "cm" "cm" "cm"\n'))
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert volume.origin == pytest.approx((-10, 20, 30))
    assert volume.notes[-1] == NO_DIRECTIONS


@pytest.mark.parametrize("origin", ["", "space origin: (nan,nan,nan)\n"])
def test_a_space_without_origin_says_so(origin: str, hu: np.ndarray, tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path, hu, f"space: LPS\nspacings: 0.7 0.8 2.5\n{origin}"))
    assert volume.origin == (0, 0, 0)
    assert volume.notes == (NO_ORIGIN, NO_DIRECTIONS)


@pytest.mark.parametrize("origin", ["(1,2)", "1 2 3", "(1,2,x)", "(1,2\x1f,3)"])
def test_an_origin_that_is_not_three_numbers_is_refused(origin: str, hu: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="an origin that are not three numbers each"):
        read_volume(write(tmp_path, hu, f"space: LPS\nspace origin: {origin}\n"))


@pytest.mark.parametrize("spacings", ["0.7 0.8 2.5\x1f 1", "0.7\x1d0.8 2.5", "0.7 0.8", "0.7 0.8 2.5 1"])
def test_spacings_that_are_no_plain_numbers_are_refused(
    spacings: str, hu: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(VolumeError, match="spacings or an origin that are not three numbers each"):
        read_volume(write(tmp_path, hu, f"spacings: {spacings}\n"))


def test_kinds_for_some_axes_are_ignored_with_a_note(hu: np.ndarray, tmp_path: Path) -> None:
    fields = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    volume = read_volume(write(tmp_path, hu, f"{fields}kinds: domain domain\n"))
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes == ("The header states kinds of 2 of 3 axes; they were ignored.",)


def test_a_control_character_is_no_blank(hu: np.ndarray, tmp_path: Path) -> None:
    fields = "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    volume = read_volume(write(tmp_path, hu, f"space:\x1cleft-posterior-superior\n{fields}"))
    assert volume.notes == (NO_SPACE,)
