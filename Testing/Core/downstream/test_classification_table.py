"""The table of a classification is checked before any work, and the message says what to mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.classification.cases import class_names, read_table, same_content
from MAESILCore.downstream.classification.folds import folds_of, inner_parts, patients_of
from MAESILCore.downstream.classification.scans import examine
from MAESILCore.errors import ConfigError

WriteTable = Callable[[str], Path]


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    """Writes a table beside files a.nii to h.nii, which exist only."""
    for name in "abcdefgh":
        (tmp_path / f"{name}.nii").touch()

    def write(text: str) -> Path:
        path = tmp_path / "cases.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_any_spreadsheet_is_read(write_table: WriteTable, delimiter: str) -> None:
    lines = ["\ufeffscan,label,patient,fold", "a.nii,ill,P1,x", "", "b.nii, well ,P2,y"]
    table = read_table(write_table("\r\n".join(lines).replace(",", delimiter)))
    assert [(case.name, case.target, case.patient, case.fold, case.row) for case in table.cases] == [
        ("a.nii", "ill", "P1", "x", 2),
        ("b.nii", "well", "P2", "y", 4),
    ]
    assert table.cases[0].path == table.path.parent / "a.nii"
    assert not table.is_split
    assert not table.notes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"cases.csv lists no scans"),
        ("scan,label\n", r"cases.csv lists no scans"),
        ("scan,diagnosis\na.nii,1\n", r"has no column label: its columns are scan, diagnosis"),
        (
            "scan,label,age\na.nii,1,70\n",
            r"unknown column age: columns may be scan, label, fold, split, patient",
        ),
        ("scan,label,fold,split\na.nii,1,1,test\n", r"both fold and split"),
        ("scan,label\na.nii,1\nb.nii,\n", r"Row 3 of cases.csv has no label"),
        ("scan,label\na.nii,1,2\n", r"Row 2 of cases.csv has 3 values, but there are 2 columns"),
        ('scan,label\n"a.nii,1\n', r"is not a CSV file"),
        (
            "scan,label\na.nii,1\ny.nii,1\nz.nii,2\n",
            r"There are no files .*y.nii, .*z.nii, which cases.csv lists",
        ),
        ("scan,label\na.nii,1\n./a.nii,2\n", r"Rows 2 and 3 of cases.csv list the same scan"),
        ("scan,label,split\na.nii,1,train\nb.nii,2,exam\n", r"says exam: it may say train, validation, test"),
        ("scan,label,split\na.nii,1,train\nb.nii,2,train\n", r"No scan of cases.csv is in the part test"),
        (
            "scan,label,patient,fold\na.nii,1,P1,x\nb.nii,2,P1,y\nc.nii,2,P2,y\n",
            r"Patient-level leak in cases.csv: scans of one patient are in several folds, of P1 \(x and y\)",
        ),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(write_table: WriteTable, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_table(write_table(text))


def test_a_table_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The table .*none.csv cannot be read: No such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("scan,label\né.nii,1".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.csv is not a text in UTF-8"):
        read_table(tmp_path / "latin.csv")


def test_without_a_column_of_patients_it_says_how_they_are_told_apart(write_table: WriteTable) -> None:
    (note,) = read_table(write_table("scan,label\na.nii,1\n")).notes
    assert "no column patient, so each scan counts as a patient of its own" in note


def test_classes_are_sorted_and_one_is_too_few(write_table: WriteTable) -> None:
    table = read_table(write_table("scan,label\na.nii,10\nb.nii,9\nc.nii,9\n"))
    assert class_names(table.path, table.cases) == ("9", "10")
    table = read_table(write_table("scan,label\na.nii,ill\nb.nii,ill\n"))
    with pytest.raises(ConfigError, match=r"All 2 scans of cases.csv have the label ill: .* two classes"):
        class_names(table.path, table.cases)
    table = read_table(write_table("scan,label\na.nii,0.31\nb.nii,0.52\n"))
    with pytest.raises(ConfigError, match="a label of its own"):
        class_names(table.path, table.cases)


def test_the_same_voxels_twice_are_a_leak_also_in_another_format(
    write_table: WriteTable, tmp_path: Path
) -> None:
    voxels = np.random.default_rng(0).integers(-500, 500, (3, 4, 5)).astype(np.int16)
    volume = Volume(voxels, np.diag([2.0, 2.0, 3.0, 1.0]))
    turned = Volume(np.ascontiguousarray(voxels[::-1]).astype(np.float32), np.diag([2.0, 2.0, -3.0, 1.0]))
    write_volume(volume, tmp_path / "a.nii")
    write_volume(turned, tmp_path / "b.mha")
    table = read_table(write_table("scan,label\na.nii,1\nb.mha,2\n"))
    hashes = [examine(one).content for one in (volume, turned)]
    with pytest.raises(ConfigError, match=r"leak in cases.csv: a.nii and b.mha hold the same voxels"):
        same_content(table.path, table.cases, hashes)
    other = Volume(voxels + np.int16(1), volume.ijk_to_ras)
    same_content(table.path, table.cases, [hashes[0], examine(other).content])


def test_folds_are_those_of_the_table_or_drawn_by_patient(write_table: WriteTable) -> None:
    rows = [f"{name}.nii,{number % 2},P{number // 2}" for number, name in enumerate("abcdefgh")]
    table = read_table(write_table("\n".join(["scan,label,patient", *rows])))
    classes, patients = np.array([0, 1] * 4), patients_of(table.cases)
    folds = folds_of(table, classes, seed=0)
    assert len(folds) == 4
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(8))
    for fold in folds:
        assert not set(patients[fold.train]) & set(patients[fold.test])
    again = folds_of(table, classes, seed=0)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(folds, again, strict=True))
    for train, held in inner_parts(classes, patients, seed=0):
        assert not set(patients[train]) & set(patients[held])


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [
        (("x", "x", "x", "x"), "All scans of cases.csv are in the fold x"),
        (("x", "x", "y", "y"), "with the label 1 are in the fold x: there is none to learn from"),
    ],
)
def test_folds_that_leave_nothing_to_learn_are_refused(
    write_table: WriteTable, folds: tuple[str, ...], sentence: str
) -> None:
    rows = [
        f"{name}.nii,{label},{fold}" for name, label, fold in zip("abcd", (1, 1, 2, 2), folds, strict=True)
    ]
    table = read_table(write_table("\n".join(["scan,label,fold", *rows])))
    with pytest.raises(ConfigError, match=sentence):
        folds_of(table, np.array([0, 0, 1, 1]), seed=0)


def test_a_class_with_one_patient_cannot_be_scored(write_table: WriteTable) -> None:
    table = read_table(write_table("scan,label\na.nii,1\nb.nii,2\nc.nii,2\n"))
    with pytest.raises(ConfigError, match="each class needs at least two"):
        folds_of(table, np.array([0, 1, 1]), seed=0)
