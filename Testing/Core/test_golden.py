"""What MAESIL 0.1.0 gave: the same masks from the same seeds, and run folders and checkpoints that still open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from MAESILCore import cli, load_checkpoint, read_volume
from Testing.Golden.masks import FILE, mask_hashes

FILES = FILE.parent / "files"


def test_every_seed_gives_the_mask_it_always_gave() -> None:
    recorded = json.loads(FILE.read_text(encoding="utf-8"))
    hashes = mask_hashes()
    assert hashes.keys() == recorded.keys()
    differing = [
        (name, place)
        for name in recorded
        for place in recorded[name]
        if hashes[name].get(place) != recorded[name][place]
    ]
    assert not differing
    assert {name: len(places) for name, places in hashes.items()} == {
        name: len(places) for name, places in recorded.items()
    }


@pytest.mark.parametrize(
    ("model", "step", "expected"),
    [
        ("run", 4, "reconstruction.nii.gz"),
        pytest.param("run/model.safetensors", 4, "reconstruction.nii.gz", marks=pytest.mark.slow),
        ("run/checkpoints/step-00000002.safetensors", 2, "reconstruction-step-2.nii.gz"),
    ],
)
def test_an_old_checkpoint_opens_and_reconstructs_as_it_did(
    model: str, step: int, expected: str, tmp_path: Path
) -> None:
    card = load_checkpoint(FILES / model).card
    assert (card.name, card.method, card.step) == ("golden", "maesil", step)
    assert (card.window, card.data) == ((-1000.0, 1000.0), "Phantoms that belong to nobody.")
    scan = FILES / "superpatch.nii.gz"
    arguments = ["--model", str(FILES / model), "--out", str(tmp_path), "--seed", "5", "--device", "cpu"]
    assert cli.main(["reconstruct", str(scan), *arguments, "--no-scores"]) == 0
    voxels, before = (
        read_volume(path).voxels for path in (tmp_path / "reconstruction.nii.gz", FILES / expected)
    )
    # Whole HU, which another processor may round to the next.
    assert voxels.dtype == before.dtype == np.int16
    assert np.abs(voxels.astype(np.int64) - before).max() <= 1


def test_an_old_run_that_is_finished_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = copy_of_run(tmp_path)
    assert cli.main(["pretrain", str(FILES / "scans"), "--out", str(run), "--resume", "--device", "cpu"]) == 0
    assert "already taken all 4 steps" in " ".join(capfd.readouterr().out.split())


def test_an_old_run_is_resumed_from_its_middle_and_ends_almost_where_it_did(tmp_path: Path) -> None:
    """The loss of today weights samples, not tokens, which differs for masks of varied ratios, as here."""
    run = copy_of_run(tmp_path)
    last, model = run / "checkpoints" / "step-00000004.safetensors", run / "model.safetensors"
    last.unlink()
    model.unlink()
    assert cli.main(["pretrain", str(FILES / "scans"), "--out", str(run), "--resume", "--device", "cpu"]) == 0
    middle = load_file(run / "checkpoints" / "step-00000002.safetensors")
    for path in (last, model):
        weights, before = load_file(path), load_file(FILES / path.relative_to(tmp_path))
        # Random states are functions of the step now, and no longer kept; counts were added.
        before.pop("random.torch", None)
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("count.")}
        assert weights.keys() == before.keys()
        for part in ("model.", "average."):
            names = [name for name in before if name.startswith(part)]
            off = [weights[name].astype(float) - before[name] for name in names]
            moved = [middle[name] - before[name].astype(float) for name in names]
            assert names == [] or norm(off) < 0.15 * norm(moved)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    first, second = (
        [one["loss"] for one in part if one["event"] == "step" and one["step"] > 2]
        for part in (events[:10], events[10:])
    )
    assert len(first) == 2
    assert second == pytest.approx(first, rel=0.02)
    told = [one for one in events[10:] if one["event"] == "log" and "earlier version" in one["message"]]
    assert len(told) == 1


def test_no_old_file_tells_where_it_was_made() -> None:
    texts = [path for path in FILES.rglob("*") if path.suffix in (".yaml", ".json", ".jsonl", ".safetensors")]
    assert len(texts) >= 8
    for path in texts:
        content = path.read_bytes()
        assert not any(place in content for place in (b"/tmp/", b"/work/", b"/home/", b"/root/")), path


def norm(tensors: list[np.ndarray]) -> float:
    return float(np.linalg.norm(np.concatenate([each.ravel() for each in tensors])))


def copy_of_run(folder: Path) -> Path:
    return shutil.copytree(FILES / "run", folder / "run")
