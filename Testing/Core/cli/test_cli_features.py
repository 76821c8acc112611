"""`maesil features` writes the features of a scan for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from MAESILCore import Volume, cli, load_checkpoint, write_volume
from MAESILCore.inference import encode


@pytest.fixture
def a_scan(tmp_path: Path) -> Volume:
    k, j, i = np.ogrid[:13, :22, :30]
    voxels = 500 * np.sin(k / 5) * np.cos(j / 7) + 10 * i - 500
    scan = Volume(voxels.astype(np.int16), np.diag([-0.7, 0.7, 2.5, 1.0]), "scan")
    write_volume(scan, tmp_path / "scan.nii.gz")
    return scan


def test_features_of_all_levels_or_some(
    a_scan: Volume, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = str(tmp_path / "scan.nii.gz"), tmp_path / "out"
    command = ["features", scan, "--out", str(out), "--model", str(tiny_model), "--device", "cpu"]
    model = load_checkpoint(tiny_model)
    count = len(model.abilities.levels)
    assert cli.main([*command, "--level", "all"]) == 0
    assert f"{count + 1} files in " in capsys.readouterr().out
    assert len(json.loads((out / "pooled.json").read_text())["levels"]) == count
    assert cli.main([*command, "--level", "0", "--level", "-1"] if count > 1 else command) == 0
    expected = encode(a_scan, model, device="cpu")
    image = nibabel.load(out / f"features-level-{count - 1}.nii")
    np.testing.assert_allclose(
        np.asarray(image.dataobj)[:, :, :, 0].T, expected.vectors, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(image.affine, expected.lattice_to_ras, atol=1e-4)


def test_mistakes_are_one_sentence_before_any_work(
    a_scan: Volume,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["features", str(tmp_path / "scan.nii.gz"), "--out", str(tmp_path / "out")]
    command += ["--model", str(tiny_model)]
    for more, sentence in (
        (["--level", "99"], "has no feature level 99"),
        (["--level", "deep"], "--level takes whole numbers or all, not deep"),
        (["--level", "all", "--level", "0"], "leave out the other --level"),
        (["--format", "hdf5"], "written as nifti or zarr, not as hdf5"),
        (["--device", "abacus"], "device"),
    ):
        assert cli.main([*command, *more]) == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert said.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "out").exists()
