"""Training from a store."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import create
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.store.opened import Store
from MAESILCore.store.preparing import prepare
from MAESILCore.store.reader import DamagedScanError
from MAESILCore.training import Run, load_config, pretrain
from MAESILCore.training.corpus import Corpus, inspect
from MAESILCore.training.crops import CropConfig, Drawing
from MAESILCore.training.scans import data_at, open_store
from MAESILCore.training.source import Opening, SampleKey
from MAESILCore.training.stored import StoredScans

TINY = {
    "preset": "tiny",
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]},
    "crop": {"size": [16, 16, 16]},
    "batch_size": 2,
    "warmup_steps": 1,
    "preview_every": 0,
}
#: Accepts every box, so that scans in files and in a store choose the same ones.
CROP = CropConfig(size=(16, 16, 16), minimum_body=0.0)
DRAWING = Drawing(CROP, lambda _: MaskStrategy(), Intensity(), (4, 4, 4), (16, 16, 16))


def hu(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    generator = np.random.default_rng(seed)
    voxels = np.full(shape, -1000, np.int16)
    voxels[:, 4:-4, shape[2] // 2 :] = generator.integers(
        -150, 400, (shape[0], shape[1] - 8, -(-shape[2] // 2))
    )
    return voxels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scans in a folder `scans`, and a folder `store` made of it."""
    for number, shape in enumerate(((40, 44, 48), (20, 64, 52), (9, 40, 40))):
        path = tmp_path / "scans" / f"s{number}" / "ct.nrrd"
        path.parent.mkdir(parents=True)
        write_volume(Volume(hu(number, shape), np.diag([0.8, 0.8, 2.0, 1.0])), path)
    prepare([tmp_path / "scans"], tmp_path / "store")
    return tmp_path


def source_of(store: Path, drawing: Drawing = DRAWING) -> StoredScans:
    opened = Store(store)
    return StoredScans(opened, range(len(opened)), drawing)


def test_a_store_draws_the_samples_of_its_files(folder: Path) -> None:
    stored = source_of(folder / "store")
    found = data_at([folder / "scans"])
    files = Corpus(inspect(found.scans), DRAWING)  # type: ignore[union-attr]
    for index in range(30):
        one, other = (source.draw(SampleKey(3, 5, index)) for source in (stored, files))
        assert np.array_equal(one.voxels, other.voxels)
        assert np.array_equal(one.stages, other.stages)  # type: ignore[arg-type]
        assert (one.start, one.spacing) == (other.start, pytest.approx(other.spacing))


def test_air_is_rarely_drawn(folder: Path) -> None:
    bodies = [
        np.mean([source.draw(SampleKey(0, 0, n)).voxels.mean() for n in range(60)])
        for share in (0.0, 0.8)
        for source in [
            source_of(
                folder / "store", replace(DRAWING, crop=CROP.model_copy(update={"minimum_body": share}))
            )
        ]
    ]
    assert bodies[1] > 1.2 * bodies[0]


def test_the_memory_of_decoded_voxels_changes_no_sample_and_has_a_limit(folder: Path) -> None:
    store = Store(folder / "store")
    sizes = 2 * store.shapes.prod(axis=1)
    plain, all_kept, one_kept = (
        StoredScans(store, range(3), DRAWING, memory) for memory in (0, sum(sizes), min(sizes))
    )
    for index in range(40):
        key = SampleKey(1, 2, index)
        expected = plain.draw(key).voxels
        assert np.array_equal(all_kept.draw(key).voxels, expected)
        assert np.array_equal(one_kept.draw(key).voxels, expected)
    # What is kept is not read again; the two scans beyond the limit are.
    for shard in (folder / "store/scans").glob("*/voxels/c/0/0/0"):
        shard.write_bytes(bytes(shard.stat().st_size))
    drawn = [all_kept.draw(SampleKey(1, 2, index)) for index in range(40)]
    kept = store.files[int(np.argmin(sizes))]
    for index, sample in enumerate(drawn):
        if sample.scan == kept:
            assert np.array_equal(one_kept.draw(SampleKey(1, 2, index)).voxels, sample.voxels)
        else:
            with pytest.raises(DamagedScanError):
                one_kept.draw(SampleKey(1, 2, index))
    assert len({sample.scan for sample in drawn}) == 3


@pytest.mark.process
def test_another_process_draws_the_same(folder: Path, repository: Path) -> None:
    program = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[2]);"
        "from test_stored import source_of, SampleKey, Path;"
        "s = source_of(Path(sys.argv[1]));"
        "print(hashlib.sha256(b''.join(s.draw(SampleKey(1, 2, n)).voxels.tobytes() for n in range(8))).hexdigest())"
    )
    command = [sys.executable, "-c", program, str(folder / "store"), str(Path(__file__).parent)]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository).stdout
        for _ in range(2)
    )
    assert first == second
    assert len(first.strip()) == 64


def test_a_training_on_a_store_holds_out_and_resumes_with_the_same_store_alone(folder: Path) -> None:
    store = folder / "store"
    config = load_config(None, {**TINY, "steps": 2, "validate_every": 2, "hold_out": ["s1"]})
    run = Run.create(folder / "run")
    pretrain(run, config, [store], device="cpu")
    assert [line.split('"')[1] for line in run.scans().splitlines()] == ["s0/ct.nrrd", "s2/ct.nrrd"]  # type: ignore[union-attr]
    assert any(event.event == "validation" for event in run.job.events())
    longer = config.model_copy(update={"steps": 3})
    with pytest.raises(ConfigError, match="not the scans that the run began with"):
        pretrain(Run.open(folder / "run"), longer, data_at([folder / "scans"]), device="cpu")
    write_volume(Volume(hu(7, (40, 44, 48)), np.diag([0.8, 0.8, 2.0, 1.0])), folder / "scans/s0/ct.nrrd")
    other = folder / "other"
    prepare([folder / "scans"], other)
    with pytest.raises(ConfigError, match="not the scans that the run began with"):
        pretrain(Run.open(folder / "run"), longer, [other], device="cpu")
    assert pretrain(Run.open(folder / "run"), longer, [store], device="cpu").is_file()


def test_what_cannot_be_trained_on_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    config = load_config(None, TINY)
    with pytest.raises(ConfigError, match="must be the only source"):
        pretrain(Run.create(folder / "run"), config, [folder / "store", folder / "scans"], device="cpu")
    opening = Opening(None, lambda _: None, 0, lambda argument: argument)
    wrong = config.model_copy(update={"hold_out": ("s9",)})
    with pytest.raises(ConfigError, match="hold_out pattern 's9' matches none of the 3 scans"):
        open_store(folder / "store", wrong, None, opening)  # type: ignore[arg-type]
    (folder / "empty").mkdir()
    (folder / "empty/store.json").write_bytes((folder / "store/store.json").read_bytes())
    with pytest.raises(ConfigError, match="holds no scan"):
        open_store(folder / "empty", config, None, opening)  # type: ignore[arg-type]


@pytest.mark.process
def test_a_damaged_scan_ends_the_run_which_goes_on_once_it_is_mended(folder: Path) -> None:
    config = load_config(None, {**TINY, "steps": 12, "batch_size": 1, "checkpoint_every": 100})
    whole = Run.create(folder / "whole")
    pretrain(whole, config, [folder / "store"], device="cpu")
    drawn = source_of(folder / "store", replace(DRAWING, crop=CropConfig(size=(16, 16, 16))))
    firsts: dict[str, int] = {}
    for step in range(config.steps):
        firsts.setdefault(drawn.draw(SampleKey(config.seed, step, 0)).scan, step)
    name, first = list(firsts.items())[-1]
    assert first > 0
    identity = drawn.store.identities[drawn.store.files.index(name)]
    shard = folder / "store" / "scans" / identity / "voxels/c/0/0/0"
    content = shard.read_bytes()
    shard.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])  # its index is at the end

    run = Run.create(folder / "run")
    sentence = (
        rf"^The scan {name} of the store cannot be read \(chunk .* is damaged\): "
        f"delete its folder scans/{identity}"
    )
    with pytest.raises(DamagedScanError, match=sentence):
        pretrain(run, config.model_copy(update={"workers": 1}), [folder / "store"], device="cpu")
    last = run.job.last_event()
    assert last is not None
    assert (last.event, last.step) == ("failed", first)
    assert name in last.message
    assert [path.stem for path in run.checkpoints.paths()] == [f"step-{first:08d}"]
    shutil.rmtree(folder / "store" / "scans" / identity)
    prepare([folder / "scans"], folder / "store")
    pretrain(Run.open(run.folder), config, [folder / "store"], device="cpu")
    ours, theirs = (load_tensors(one.checkpoints.paths()[-1], "") for one in (run, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Scans without HU in a folder `scans`, each in a scale of its own, and a folder `store` made of it."""
    for number, scale in enumerate((0.01, 900.0)):
        voxels = np.random.default_rng(number).gamma(2.0, scale, (24, 28, 32)).astype(np.float32)
        voxels[:6] = 0.0
        path = tmp_path / "scans" / f"h{number}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_volume(Volume(voxels, np.diag([1.0, 1.0, 2.0, 1.0])), path)
    prepare([tmp_path / "scans"], tmp_path / "store", without_hu=True)
    return tmp_path


@pytest.mark.parametrize("rule", ["percentiles", "z-score"])
def test_a_store_without_hu_draws_the_samples_of_its_files(heads: Path, rule: str) -> None:
    drawing = replace(DRAWING, intensity=Intensity(rule))
    stored, found = source_of(heads / "store", drawing), data_at([heads / "scans"])
    files = Corpus(inspect(found.scans, intensity=drawing.intensity), drawing)  # type: ignore[union-attr]
    scans = set()
    for index in range(12):
        one, other = (source.draw(SampleKey(3, 5, index)) for source in (stored, files))
        np.testing.assert_allclose(one.voxels, other.voxels, atol=1e-3)
        assert np.array_equal(one.stages, other.stages)  # type: ignore[arg-type]
        scans.add(one.scan)
    assert len(scans) == 2


def test_a_store_and_its_recipe_are_of_one_kind(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    opening, sizes = Opening(None, lambda _: None, 0, lambda one: one), create("maesil", {}, "tiny").config
    with pytest.raises(ConfigError, match="holds CT in HU, and `intensity: z-score`"):
        open_store(folder / "store", load_config(None, {**TINY, "intensity": "z-score"}), sizes, opening)
    other = tmp_path_factory.mktemp("other") / "store"
    prepare([folder / "scans"], other, without_hu=True)
    with pytest.raises(ConfigError, match="holds scans without HU: set `intensity: percentiles`"):
        open_store(other, load_config(None, {**TINY}), sizes, opening)
    config = load_config(None, {**TINY, "intensity": "percentiles"})
    data = open_store(other, config, create("maesil", TINY["model"], "tiny").config, opening)
    assert data.preview is not None
    store, shown = Store(other), data.preview()
    assert shown.window == Intensity("percentiles").window_of(store.read(0, (0, 0, 0), store.shape(0)))
