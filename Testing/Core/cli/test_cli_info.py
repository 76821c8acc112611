"""`maesil info` tells what a scan is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, cli, write_volume


@pytest.fixture
def an_oblique_scan(tmp_path: Path) -> Path:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turned = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ np.diag(
        [-0.8, -0.8, 2.5]
    )
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3] = np.column_stack([turned, [12.5, -30.0, 7.0]])
    voxels = np.linspace(-1000, 900, 20 * 33 * 40).reshape(20, 33, 40).astype(np.int16)
    path = tmp_path / "chest [1].nii.gz"
    write_volume(Volume(voxels, ijk_to_ras), path)
    return path


def test_info_as_json_gives_the_exact_geometry(
    an_oblique_scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", str(an_oblique_scan), "--json", "--superpatch-size", "16"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape_kji"] == [20, 33, 40]
    assert facts["spacing_mm_ijk"] == pytest.approx([0.8, 0.8, 2.5])
    assert facts["origin_mm_ras"] == pytest.approx([12.5, -30.0, 7.0])
    assert facts["is_oblique"] is True
    assert facts["is_sheared"] is False
    assert facts["value_range"] == [-1000.0, 900.0]
    assert facts["superpatches_kji"] == [2, 3, 3]
    assert facts["superpatches"] == 18
    assert facts["patch_lattice_kji"] == [3, 5, 5]


def test_info_as_a_table_reads_well(an_oblique_scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(an_oblique_scan)]) == 0
    said = capsys.readouterr().out
    assert "chest [1]" in said
    assert "40 x 33 x 20 voxels" in said
    assert "0.8 x 0.8 x 2.5 mm" in said
    assert "-1000 to 900 HU" in said
    assert "oblique" in said


def test_info_on_nothing_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(tmp_path / "nothing.nii.gz")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert said.count("\n") == 1


def test_info_on_a_folder_of_scans_says_that_there_are_several(
    an_oblique_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    for number in range(5):
        (below / f"{number}.nii.gz").write_bytes(an_oblique_scan.read_bytes())
    assert cli.main(["info", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "holds 6 scans; name one of them: " in said
    assert str(Path("below") / "0.nii.gz") in said
    assert said.endswith(" and 1 more.\n")


def test_info_on_a_real_ct(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(scans / "native" / "LIDC-IDRI-0001_native_CT.nii.gz"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape_kji"] == [133, 512, 512]
    assert facts["looks_like_hu"] is True
    assert facts["superpatches_kji"] == [2, 4, 4]
