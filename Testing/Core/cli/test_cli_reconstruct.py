"""`maesil reconstruct` from a scan on disk to a folder of results."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, cli, read_volume, write_volume
from MAESILCore.inference.network import NetworkPasses

OBLIQUE = np.array([[0.7, 0.1, 0, 31.0], [-0.1, 0.7, 0, -80.5], [0, 0, 2.0, 12.25], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def a_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "chest [1].nii.gz"
    k, j, i = np.ogrid[:30, :37, :45]
    voxels = 500 * np.sin(k / 5) * np.cos(j / 7) + 10 * i - 500
    write_volume(Volume(voxels.astype(np.int16), OBLIQUE), path)
    return path


def run(scan: Path, model: Path, out: Path, *options: str) -> int:
    command = [
        "reconstruct",
        str(scan),
        "--model",
        str(model),
        "--out",
        str(out),
        "--device",
        "cpu",
        *options,
    ]
    return cli.main(command)


@pytest.mark.slow
def test_a_coverage_writes_all_files_on_the_scans_grid(
    a_scan: Path, tiny_model: Path, tmp_path: Path
) -> None:
    assert run(a_scan, tiny_model, tmp_path / "out", "--coverage", "4") == 0
    scan = read_volume(a_scan)
    for name in ("reconstruction", "mosaic", "error", "uncertainty", "mask"):
        volume = read_volume(tmp_path / "out" / f"{name}.nii.gz")
        assert volume.shape == scan.shape
        np.testing.assert_array_equal(volume.ijk_to_ras, scan.ijk_to_ras)
    lattice = read_volume(tmp_path / "out" / "mask_lattice.nii.gz")
    assert lattice.shape == (8, 10, 12)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["setup"]["masks"] == metrics["setup"]["coverage"] == 4
    assert metrics["setup"]["model"] == "tiny"
    drawn = {"seed": 0, "mode": "nested", "plane_ratio": 0.5, "axis_ratio": 0.5}
    assert drawn.items() <= metrics["setup"].items()
    assert metrics["model"]["psnr_hidden"] > 0
    assert str(tmp_path) not in json.dumps(metrics)
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_controls_are_scored_on_demand_and_scores_can_be_left_out(
    a_scan: Path, tiny_model: Path, tmp_path: Path
) -> None:
    assert run(a_scan, tiny_model, tmp_path, "--control", "mean", "--control", "nearest") == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics["controls"]) == ["mean", "nearest"]
    assert run(a_scan, tiny_model, tmp_path, "--no-scores") == 0
    assert not (tmp_path / "metrics.json").exists()
    assert (tmp_path / "report.png").exists()


@pytest.mark.slow
def test_a_region_is_given_in_i_j_k_and_hidden_exactly(
    a_scan: Path, tiny_model: Path, tmp_path: Path
) -> None:
    assert run(a_scan, tiny_model, tmp_path, "--roi", "8:17,4:8, 0:4") == 0
    stages = read_volume(tmp_path / "mask_lattice.nii.gz").voxels
    expected = np.zeros((8, 10, 12), dtype=np.uint8)
    expected[0, 1, 2:5] = 1
    np.testing.assert_array_equal(stages, expected)
    assert not (tmp_path / "uncertainty.nii.gz").exists()


@pytest.mark.slow
def test_a_region_that_reaches_beyond_the_scan_is_told(
    a_scan: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(a_scan, tiny_model, tmp_path, "--roi", "-4:8,4:400,0:4") == 0
    k, j, i = read_volume(a_scan).shape
    said = (
        f"beyond the scan's {i} x {j} x {k} voxels (i, j, k); only the part inside was hidden, 0:8,4:{j},0:4."
    )
    assert said in " ".join(capsys.readouterr().err.split())
    assert said in (tmp_path / "metrics.json").read_text()
    assert run(a_scan, tiny_model, tmp_path, "--roi", f"0:{i},0:{j},0:{k}") == 0
    assert "beyond" not in capsys.readouterr().err


@pytest.mark.slow
def test_the_seed_and_the_mode_decide_on_the_mask(
    a_scan: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("MAESILCore.report.figure.write_report_png", lambda *_, **__: None)
    masks = []
    for options in (
        ["--seed", "1"],
        ["--seed", "1"],
        ["--seed", "2"],
        ["--mode", "block", "--block-size", "4"],
    ):
        assert run(a_scan, tiny_model, tmp_path, "--no-scores", *options) == 0
        masks.append(read_volume(tmp_path / "mask_lattice.nii.gz").voxels)
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert set(np.unique(masks[3])) == {0, 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--mode", "dual"], "choose one of random"),
        (["--plane-axis", "z"], "The plane axis must be k, j or i"),
        (
            ["--mode", "random", "--plane-axis", "i"],
            "--plane-axis has no effect in mode random; use --ratio.",
        ),
        (
            ["--ratio", "0.5"],
            "--ratio has no effect in mode nested; use --plane-ratio and --axis-ratio.",
        ),
        (["--mode", "random", "--ratio", "1"], "mask ratio must lie between"),
        (["--roi", "1:2,3:4"], "not of the form i0:i1,j0:j1,k0:k1"),
        (["--roi", "90:95,0:6,0:7"], "The region 90:95,0:6,0:7 (i, j, k) has no voxel of the volume"),
        (["--roi", "0:5,0:5,0:5", "--mode", "random"], "leave out --roi"),
        (["--roi", "0:5,0:5,0:5", "--coverage", "2"], "not both"),
        (["--coverage", "2", "--control", "mean"], "single mask"),
        (["--control", "magic"], "no control 'magic'"),
        (["--control", "mean", "--no-scores"], "leave out one of them"),
        (["--overlap", "3"], "multiple of the patch size"),
        (["--batch-size", "0"], "batch size"),
        (["--device", "abacus"], "no device"),
        (["--model", "nowhere.safetensors"], "no checkpoint"),
    ],
)
def test_a_mistake_is_said_in_one_sentence_and_leaves_nothing(
    a_scan: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    reason: str,
) -> None:
    assert run(a_scan, tiny_model, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_ctrl_c_stops_clean_and_leaves_nothing(
    a_scan: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    passes = []

    def press_ctrl_c(network: NetworkPasses, *inputs: np.ndarray) -> np.ndarray:
        passes.append(len(inputs[0]))
        signal.raise_signal(signal.SIGINT)
        return predict(network, *inputs)

    predict = NetworkPasses.predict
    monkeypatch.setattr(NetworkPasses, "predict", press_ctrl_c)
    assert run(a_scan, tiny_model, tmp_path / "out") == 130
    assert passes == [1]
    assert "Stopped." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
