"""The run folder by itself: who may have it, which checkpoints stay, and which one is taken up again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MAESILCore.errors import Cancelled, CheckpointError, ConfigError
from MAESILCore.jobfolder import Event
from MAESILCore.methods import create
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.training import PretrainConfig, Run
from MAESILCore.training.split import check_same, inventory

SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (8, 8, 8), "encoder": {"width": 48, "depth": 2}}
CARD = Card(name="a", method="maesil", config=SIZES, window=(-1000.0, 1000.0), mask={}, step=0)


def save(run: Run, step: int, keep: int = 2, score: float | None = None) -> None:
    weights = {"model.weight": torch.full((300, 300), float(step))}
    training = {} if score is None else {"validation": {"psnr_hidden": score, "other": 99.0}}
    card = replace(CARD, step=step, training=training)
    run.checkpoints.save(step, weights, card, keep, best=score is not None, seconds=0.25)


def checkpoints(run: Run) -> list[str]:
    return sorted(path.name for path in (run.folder / "checkpoints").iterdir())


def cut_short(run: Run, step: int) -> None:
    path = run.folder / "checkpoints" / f"step-{step:08d}.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def test_a_folder_with_something_in_it_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        Run.create(tmp_path)
    with pytest.raises(ConfigError, match="no run to resume"):
        Run.open(tmp_path)
    Run.create(tmp_path / "run").begin(PretrainConfig(), "[]")
    with pytest.raises(ConfigError, match="already holds a run"):
        Run.create(tmp_path / "run")


def test_a_run_that_was_killed_before_its_recipe_was_written_can_be_started_again(tmp_path: Path) -> None:
    for name in ("job.json", "events.jsonl", "lock", "lock.takeover", "log.txt", "cancel", "scans.json"):
        (tmp_path / name).touch()
    (tmp_path / ".maesil-abc").mkdir()
    Run.create(tmp_path)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        Run.create(tmp_path)


def test_a_run_exists_from_its_beginning_on(tmp_path: Path) -> None:
    Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match="no run to resume"):
        Run.open(tmp_path / "run")
    Run.create(tmp_path / "run").begin(PretrainConfig(seed=3), "[]")
    assert Run.open(tmp_path / "run").config({"steps": 9}) == PretrainConfig(seed=3, steps=9)


@pytest.mark.parametrize("steps", ["-5", "0", "many"])
def test_steps_that_do_not_fit_leave_the_run_as_it_is(tmp_path: Path, steps: str) -> None:
    Run.create(tmp_path / "run").begin(PretrainConfig(), "[]")
    with pytest.raises(ConfigError, match=r"fit: steps: must be "):
        Run.open(tmp_path / "run").config({"steps": steps})
    assert Run.open(tmp_path / "run").config() == PretrainConfig()


def test_a_recipe_that_was_changed_after_the_checkpoints_is_named_before_scans_are_read(
    tmp_path: Path,
) -> None:
    config = PretrainConfig(preset="tiny", model={"superpatch_size": (16, 16, 16)})
    run = Run.create(tmp_path / "run")
    run.begin(config, "[]")
    method = create(config.method, config.model, config.preset)
    card = replace(CARD, config=method.config.model_dump(mode="json"))
    tensors = {f"model.{name}": tensor for name, tensor in method.state_dict().items()}
    run.checkpoints.save(1, tensors, card, keep=2)
    assert run.config().model_dump(mode="json") == config.model_dump(mode="json")
    save(run, 2)
    cut_short(run, 2)  # it is passed over
    path = run.folder / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("preset: tiny", "preset: small"))
    with pytest.raises(ConfigError, match=r"config\.yaml was changed .*encoder\.width: 48 there, 256 here"):
        run.config()
    # Another size of superpatches changes no tensor.
    path.write_text(text.replace("- 16\n  - 16\n  - 16", "- 32\n  - 32\n  - 32"))
    assert run.config().model["superpatch_size"] == [32, 32, 32]
    path.write_text("")
    with pytest.raises(ConfigError, match=r"config\.yaml is empty"):
        run.config()


def test_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    for step in (1, 2, 3):
        save(run, step)
    assert checkpoints(run) == ["step-00000002.safetensors", "step-00000003.safetensors"]


def test_a_best_checkpoint_that_cannot_be_replaced_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, replace_file = Run.create(tmp_path / "run"), os.replace
    save(run, 1, score=20.0)

    def refuse(source: Path, target: Path) -> None:
        if target.name == "best.safetensors":
            raise PermissionError(13, "The process cannot access the file")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    save(run, 2, score=30.0)
    assert run.checkpoints.best_score() == 20.0
    event = next(event for event in run.job.events() if event.event == "not_removed")
    assert event.fields["file"] == "best.safetensors"
    monkeypatch.undo()
    run.checkpoints.complete(2)
    assert run.checkpoints.best_score() == 30.0


@pytest.mark.parametrize("has_links", [True, False])
def test_the_best_checkpoint_stays_beside_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    run = Run.create(tmp_path / "run")
    assert run.checkpoints.best_score() == float("-inf")
    for step, score in enumerate([None, 20.0, 30.0, None, None], start=1):
        save(run, step, score=score)
    assert checkpoints(run) == ["best.safetensors", "step-00000004.safetensors", "step-00000005.safetensors"]
    assert float(load_tensors(run.checkpoints.best, "")["model.weight"].mean()) == 3.0
    assert run.checkpoints.best_score() == 30.0
    written = [event.fields for event in run.job.events() if event.event == "checkpoint"]
    assert [fields["best"] for fields in written] == [False, True, True, False, False]
    assert written[0] == {"file": "step-00000001.safetensors", "seconds": 0.25, "best": False}
    for step in (4, 5):
        cut_short(run, step)
    loaded = run.checkpoints.load_latest()
    assert loaded is not None
    assert loaded[0] == 3


def test_a_kill_after_the_writing_of_a_checkpoint_is_made_up_for(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    for step, score in enumerate([None, 20.0, 30.0], start=1):
        save(run, step, keep=3, score=score)
    run.checkpoints.best.unlink()
    save(run, 2, keep=3, score=20.0)  # so the last one is neither linked nor rotated
    run.checkpoints.complete(2)
    assert checkpoints(run) == ["best.safetensors", "step-00000002.safetensors", "step-00000003.safetensors"]
    assert run.checkpoints.best_score() == 30.0
    cut_short(run, 3)
    run.checkpoints.complete(2)
    assert run.checkpoints.best_score() == 20.0  # the best one was the same file


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")
    save(run, 1)
    for folder in (run.folder, run.folder / "checkpoints"):
        (folder / ".maesil-abc").mkdir()
        (folder / ".maesil-abc" / "half").touch()
    with run.working(PretrainConfig()):
        assert not list(run.folder.rglob(".maesil-*"))
    assert checkpoints(run) == ["step-00000001.safetensors"]


def test_a_checkpoint_that_cannot_be_removed_stays_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "run")
    save(run, 1)
    unlink: Callable[..., None] = Path.unlink

    def held(path: Path, missing_ok: bool = False) -> None:
        if path.name == "step-00000001.safetensors":
            raise PermissionError(13, "The process cannot access the file")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", held)
    save(run, 2, keep=1)
    assert len(checkpoints(run)) == 2
    event = json.loads((run.folder / "events.jsonl").read_text().splitlines()[-1])
    assert event["event"] == "not_removed"
    assert event["file"] == "step-00000001.safetensors"
    monkeypatch.undo()
    save(run, 3, keep=1)
    assert checkpoints(run) == ["step-00000003.safetensors"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists the files that are mapped")
def test_a_loaded_checkpoint_is_let_go_of(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    save(run, 1)
    loaded = run.checkpoints.load_latest()
    assert loaded is not None
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert float(loaded[1]["model.weight"].mean()) == 1.0


def test_a_flipped_bit_is_noticed_and_the_checkpoint_before_is_used(tmp_path: Path) -> None:
    run, told = Run.create(tmp_path / "run"), list[str]()
    for step in (4, 6):
        save(run, step)
    path = run.folder / "checkpoints" / "step-00000006.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    loaded = run.checkpoints.load_latest(told.append)
    assert loaded is not None
    assert loaded[0] == 4
    assert "its checksum does not match" in told[0]
    (event,) = (event for event in run.job.events() if event.event == "damaged")
    assert event.fields["file"] == "step-00000006.safetensors"


def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path: Path) -> None:
    run, told = Run.create(tmp_path / "run"), list[str]()
    for step in (4, 6):
        save(run, step)
    cut_short(run, 6)
    loaded = run.checkpoints.load_latest(told.append)
    assert loaded is not None
    assert loaded[0] == 4
    assert "step-00000006.safetensors is not a readable" in told[0]
    save(run, 5, keep=1)
    assert checkpoints(run) == ["step-00000005.safetensors", "step-00000006.safetensors.damaged"]


def test_checkpoints_that_are_all_damaged_are_refused_and_kept(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    for step in (4, 6):
        save(run, step)
        cut_short(run, step)
    with pytest.raises(CheckpointError, match=r"All .*damaged \(step-00000006.*, step-00000004"):
        run.checkpoints.load_latest()
    assert len(checkpoints(run)) == 2


def end_with(run: Run, error: BaseException) -> None:
    """Work in a run until an error is raised."""
    with run.working(PretrainConfig()):
        run.write(Event("progress", step=7))
        raise error


def test_a_new_run_that_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match="no"):
        end_with(run, ConfigError("no"))
    assert not run.folder.exists()


@pytest.mark.parametrize(
    ("error", "end", "code"),
    [
        (Cancelled("Enough."), "cancelled", ""),
        (KeyboardInterrupt(), "cancelled", ""),
        (OSError(28, "No space"), "failed", "job.folder-disk-full"),
        (ConfigError("It diverged."), "failed", ""),
    ],
)
def test_what_ends_a_run_is_in_its_events(tmp_path: Path, error: BaseException, end: str, code: str) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")
    with pytest.raises(type(error)):
        end_with(run, error)
    last = run.job.last_event()
    assert last is not None
    assert (last.event, last.step, run.job.state()) == (end, 7, end)
    assert getattr(last.message, "code", "") == code
    assert Run.create(run.folder).config() == PretrainConfig()  # no step of it is in a checkpoint
    save(run, 7)
    with pytest.raises(ConfigError, match="already holds a run"):
        Run.create(run.folder)


@pytest.mark.skipif(os.name == "nt", reason="a folder in use cannot be moved there")
def test_a_run_folder_that_is_moved_meanwhile_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")

    def move() -> None:
        with run.working(PretrainConfig()):
            run.folder.rename(tmp_path / "moved")
            run.write(Event("step", step=1))

    with pytest.raises(ConfigError, match="was moved or removed"):
        move()
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_a_run_that_lost_its_checkpoints_says_that_it_starts_again(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")
    assert run.lost == ""
    run.write(Event("step", step=7))
    told = run.lost
    assert told.startswith("The run has taken 7 steps, but has no checkpoint")
    with run.working(PretrainConfig()):
        pass
    assert [event.message for event in run.job.events() if event.event == "log"] == [told]
    run.write(Event("step", step=7))
    save(run, 7)
    assert run.lost == ""


@pytest.mark.process
def test_the_lock_of_a_dead_process_is_taken_over_with_a_note(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (run.folder / "lock").write_text(json.dumps({"pid": dead.pid, "started": 1.0, "host": platform.node()}))
    assert run.job.state() == "prepared"
    with run.working(PretrainConfig()):
        assert run.job.state() == "running"
        (note,) = run.job.events()
    assert note.event == "log"
    assert f"process {dead.pid}, which has ended" in note.message


def test_a_run_that_another_process_has_taken_over_saves_nothing(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")
    other = json.dumps({"pid": os.getpid(), "started": 1.0, "host": "another"})
    with run.working(PretrainConfig()):
        (run.folder / "lock").write_text(other)
        with pytest.raises(ConfigError, match="has taken over"):
            save(run, 1)
    assert (run.folder / "lock").read_text() == other
    assert not (run.folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b", "c"], r"new: c \(1 x 2 x 3\)"),
        (["b"], r"missing: a \(1 x 2 x 3\)"),
        (["b", "a"], "their order differs"),
        (["a", "b", "c", "d", "e", "f", "g"], "e .* and 2 more"),
    ],
)
def test_other_scans_are_told_apart(names: list[str], words: str) -> None:
    def listed(names: list[str]) -> str:
        return inventory(names, [(1, 2, 3)] * len(names))

    check_same(listed(["a", "b"]), listed(["a", "b"]))
    whole = listed(["a", "b"]).replace('"a"', '"s1/a"').replace('"b"', '"s2/b"')
    check_same(listed(["a", "b"]), whole)
    check_same(whole, listed(["a", "b"]))
    with pytest.raises(ConfigError, match="new: s3/a"):
        check_same(whole, whole.replace("s1", "s3"))
    with pytest.raises(ConfigError, match=words):
        check_same(listed(["a", "b"]), listed(names))


@pytest.mark.parametrize("damage", [b"\xff\xfe[", b"[[1]]", b"", b"3"])
def test_a_damaged_inventory_is_named_and_a_damaged_environment_replaced(
    tmp_path: Path, damage: bytes
) -> None:
    run = Run.create(tmp_path / "run")
    run.begin(PretrainConfig(), "[]")
    for name in ("scans.json", "environment.json"):
        (run.folder / name).write_bytes(damage)
    text = run.scans()
    assert text is not None
    with pytest.raises(ConfigError, match=r"scans\.json of the run is damaged"):
        check_same(text, "[]")
    run.write_environment(4, {"python": "3.11"})
    assert json.loads((run.folder / "environment.json").read_text()) == [{"from_step": 4, "python": "3.11"}]
