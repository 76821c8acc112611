"""The folder of a job by itself: events, their readers, and who holds the lock."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import Event, JobFolder, Owner, Tail, jobs_in, lock, rows
from MAESILCore.jobfolder.failures import TEXTS, sentence
from MAESILCore.jobfolder.owner import STALE
from MAESILCore.wording import Sentence, joined

ELSEWHERE = {"pid": 1, "started": 1.0, "host": "another machine"}


@pytest.fixture
def a_folder(tmp_path: Path) -> JobFolder:
    folder = JobFolder(tmp_path / "Jöb")
    folder.path.mkdir()
    return folder


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for heartbeats does not wait long."""
    monkeypatch.setattr(lock, "BEAT", 0.05)


def leave_lock(folder: JobFolder, owner: dict[str, object], age: float = 0.0) -> None:
    """A lock as another process leaves it, with its last heartbeat so many seconds ago."""
    path = folder.path / "lock"
    path.write_text(json.dumps(owner))
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.fixture
def a_sleeper() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Processes that work for ever; those that are left are ended."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def of_process(process: subprocess.Popen[bytes]) -> dict[str, object]:
    import psutil

    return {
        "pid": process.pid,
        "started": psutil.Process(process.pid).create_time(),
        "host": platform.node(),
    }


def test_an_event_comes_back_as_it_was_written(a_folder: JobFolder) -> None:
    event = Event("step", "Schön.", 3, 10, 4.5, {"loss": 0.5, "parts": {"kl": 1.0}}, time=7.25)
    a_folder.write(event)
    (read,) = a_folder.events()
    assert read == event
    assert read.time == 7.25
    assert read.fraction == 0.3
    assert Event("log").fraction is None


def test_numbers_that_are_not_finite_are_null(a_folder: JobFolder) -> None:
    a_folder.write(Event("step", step=1, fields={"loss": float("nan"), "parts": [float("inf"), 1.0]}))
    (read,) = a_folder.events()
    assert read.fields == {"loss": None, "parts": [None, 1.0]}


def test_words_of_older_runs_are_read() -> None:
    stopped = Event.decode(b'{"time": 1.5, "event": "stopped", "step": 3}')
    assert stopped == Event("cancelled", step=3)
    started = Event.decode(b'{"time": 1.5, "event": "started", "step": 0, "steps": 9, "parameters": 2326}')
    assert started is not None
    assert (started.event, started.total, started.fields["parameters"]) == ("started", 9, 2326)
    assert Event.decode(started.encode()) == started


def test_every_event_of_a_kept_run_is_read() -> None:
    run = JobFolder(Path(__file__).resolve().parents[2] / "Golden" / "files" / "run")
    lines = (run.path / "events.jsonl").read_text().splitlines()
    events = run.events()
    assert [event.event for event in events] == [json.loads(line)["event"] for line in lines]
    assert (events[0].total, run.state()) == (4, "finished")
    assert [row.step for row in rows(events, "step")] == [1, 2, 3, 4]


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"3", b'{"step": 1}', b'{"event": "step", "step": "x"}'])
def test_what_is_no_event_is_skipped(line: bytes) -> None:
    assert Event.decode(line) is None


def test_a_line_that_a_kill_has_cut_spoils_no_later_one(a_folder: JobFolder) -> None:
    path = a_folder.path / "events.jsonl"
    path.write_bytes(Event("step", step=1).encode() + b'{"event": "st')
    assert a_folder.last_event() == Event("step", step=1)
    a_folder.write(Event("step", step=2))
    assert [event.step for event in a_folder.events()] == [1, 2]
    assert a_folder.last_event() == Event("step", step=2)


def test_a_tail_gives_every_event_once_and_only_whole_lines(a_folder: JobFolder) -> None:
    tail = Tail(a_folder)
    assert tail.read() == []
    a_folder.write(Event("started"))
    assert tail.read() == [Event("started")]
    line = Event("step", step=1).encode()
    with open(a_folder.path / "events.jsonl", "ab") as stream:
        stream.write(line[:9])
        stream.flush()
        assert tail.read() == []
        stream.write(line[9:])
    assert tail.read() == [Event("step", step=1)]
    assert tail.read() == []


def test_events_of_several_threads_do_not_mix(a_folder: JobFolder) -> None:
    def write(first: int) -> None:
        for step in range(first, first + 50):
            a_folder.write(Event("step", "x" * 500, step))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.step for event in a_folder.events()) == list(range(200))


def test_steps_that_were_repeated_after_a_kill_count_once() -> None:
    def step(number: int, loss: float) -> Event:
        return Event("step", step=number, fields={"loss": loss})

    events = [
        Event("started"),
        *(step(number, 0.0) for number in (1, 2, 3, 4)),
        Event("started", step=2),
        step(3, 1.0),
        step(3, 2.0),
    ]
    assert [(row.step, row.fields["loss"]) for row in rows(events, "step")] == [(1, 0.0), (2, 0.0), (3, 2.0)]


def test_the_description_comes_back_and_a_damaged_one_is_refused(a_folder: JobFolder) -> None:
    with pytest.raises(ConfigError, match=r"holds no job\.json"):
        a_folder.description()
    request = {"model": "mod\udce8le", "steps": 3}
    a_folder.describe("toy", request)
    assert a_folder.description() == ("toy", request)
    for text in ("", "[]", '{"kind": "toy"}', '{"kind": "toy", "request": 3}'):
        (a_folder.path / "job.json").write_text(text)
        with pytest.raises(ConfigError, match=r"job\.json cannot be read"):
            a_folder.description()


def test_a_state_is_read_from_lock_and_events(a_folder: JobFolder) -> None:
    assert a_folder.state() == "prepared"
    with a_folder.lock:
        assert a_folder.state() == "running"
        a_folder.write(Event("started"))
    assert a_folder.state() == "dead"
    for end in ("finished", "failed", "cancelled"):
        a_folder.write(Event(end))
        assert a_folder.state() == end


def test_the_jobs_of_a_folder_are_found(tmp_path: Path) -> None:
    for name, state in (("a", "finished"), ("b", "running"), ("c", "prepared"), ("d", "dead")):
        folder = JobFolder(tmp_path / name)
        folder.path.mkdir()
        folder.describe("toy", {})
        if state != "prepared":
            folder.write(Event("started"))
        if state == "finished":
            folder.write(Event("finished"))
        if state == "running":
            leave_lock(folder, ELSEWHERE)
        if state == "dead":
            leave_lock(folder, ELSEWHERE, age=2 * STALE)
    (tmp_path / "no job").mkdir()
    assert [(job.path.name, job.state()) for job in jobs_in(tmp_path)] == [
        ("a", "finished"),
        ("b", "running"),
        ("c", "prepared"),
        ("d", "dead"),
    ]
    assert jobs_in(tmp_path / "nowhere") == []


def test_two_processes_cannot_hold_a_lock(
    a_folder: JobFolder, a_sleeper: Callable[[], subprocess.Popen[bytes]]
) -> None:
    process = a_sleeper()
    leave_lock(a_folder, of_process(process), age=2 * STALE)  # of this machine: its process counts
    with (
        pytest.raises(ConfigError, match=f"Process {process.pid} on .* is already working in"),
        a_folder.lock,
    ):
        pass
    assert a_folder.lock.holder() == Owner(**of_process(process))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_the_lock_of_a_killed_process_is_taken_over(
    a_folder: JobFolder, a_sleeper: Callable[[], subprocess.Popen[bytes]]
) -> None:
    process = a_sleeper()
    owner = of_process(process)
    leave_lock(a_folder, owner)
    # Nobody asks for its status: it stays as a zombie, whose number exists.
    process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while a_folder.lock.holder() is not None:
        assert time.monotonic() < until
        time.sleep(0.02)
    with a_folder.lock as held:
        assert held.previous == Owner(**owner)
        assert held.holder() == Owner.current()
    assert not (a_folder.path / "lock").exists()


def test_a_process_that_got_the_number_of_a_dead_one_holds_nothing(
    a_folder: JobFolder, a_sleeper: Callable[[], subprocess.Popen[bytes]]
) -> None:
    owner = of_process(a_sleeper()) | {"started": 1.0}
    leave_lock(a_folder, owner, age=2 * STALE)
    assert a_folder.lock.holder() is None
    # With a heartbeat it is the same process, whose start moved with the clock of the system.
    leave_lock(a_folder, owner)
    assert a_folder.lock.holder() == Owner(**owner)
    leave_lock(a_folder, owner | {"pid": os.getpid()})
    assert a_folder.lock.holder() is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells the ticks")
def test_ticks_tell_processes_of_one_number_apart_whatever_the_clock_says(
    a_folder: JobFolder, a_sleeper: Callable[[], subprocess.Popen[bytes]]
) -> None:
    process = Owner.of(a_sleeper().pid)
    assert process.ticks > 0
    # The clock was set by a day, and the last heartbeat is of the other time.
    for age in (-86400.0, 86400.0):
        leave_lock(a_folder, asdict(process) | {"started": process.started - 86400.0}, age)
        assert a_folder.lock.holder() is not None
        leave_lock(a_folder, asdict(process) | {"ticks": process.ticks - 1})
        assert a_folder.lock.holder() is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells the namespace")
def test_a_process_of_another_container_with_the_name_of_this_machine_is_judged_by_its_heartbeat(
    a_folder: JobFolder,
) -> None:
    there = asdict(Owner.current()) | {"system": "another start pid:[1]", "ticks": 5}
    leave_lock(a_folder, there)
    with pytest.raises(ConfigError, match="try again a minute after its end"), a_folder.lock:
        pass
    leave_lock(a_folder, there, age=2 * STALE)
    with a_folder.lock as held:
        assert held.previous == Owner(**there)


@pytest.mark.parametrize("age", [-86400.0, 86400.0])
def test_a_living_process_elsewhere_keeps_its_lock_when_the_clock_is_set(
    a_folder: JobFolder, age: float
) -> None:
    leave_lock(a_folder, ELSEWHERE, age)
    path, over = a_folder.path / "lock", threading.Event()

    def beat() -> None:
        while not over.wait(lock.BEAT):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(ConfigError, match="is already working"), a_folder.lock:
            pass
    finally:
        over.set()
        thread.join()
    leave_lock(a_folder, ELSEWHERE, age)
    with a_folder.lock as held:  # without a heartbeat it is dead, also after the clock was set back
        assert held.previous == Owner(**ELSEWHERE)


@pytest.mark.parametrize("has_links", [True, False])
def test_a_lock_is_never_seen_without_its_owner(
    a_folder: JobFolder, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    linked = list[str]()

    def link(source: Path, target: Path) -> None:
        linked.append(source.read_text())
        if not has_links:
            raise OSError(1, "Operation not permitted")
        os.rename(source, target)

    monkeypatch.setattr(os, "link", link)
    with a_folder.lock as held:
        assert held.holder() == Owner(**json.loads(linked[0])) == Owner.current()
        assert [path.name for path in a_folder.path.iterdir()] == ["lock"]


def test_a_full_disk_leaves_no_lock_without_an_owner(
    a_folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock.os, "link", fail)
    monkeypatch.setattr(lock.json, "dump", fail)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        a_folder.lock.__enter__()
    assert not list(a_folder.path.glob("*lock*"))


def test_on_another_machine_the_heartbeat_decides(a_folder: JobFolder) -> None:
    leave_lock(a_folder, ELSEWHERE, age=STALE / 2)
    with pytest.raises(ConfigError, match="on another machine is already working"), a_folder.lock:
        pass
    leave_lock(a_folder, ELSEWHERE, age=2 * STALE)
    with a_folder.lock as held:
        assert held.previous == Owner(**ELSEWHERE)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}'])
def test_a_damaged_lock_holds_as_long_as_its_heartbeat(a_folder: JobFolder, text: str) -> None:
    path = a_folder.path / "lock"
    path.write_text(text)
    assert a_folder.state() == "running"
    os.utime(path, (1.0, 1.0))
    with a_folder.lock as held:
        assert held.holder() == Owner.current()


def test_a_holder_leaves_heartbeats_until_the_lock_is_lost(
    a_folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    path = a_folder.path / "lock"
    with a_folder.lock as held:
        os.utime(path, (1.0, 1.0))
        until = time.monotonic() + 30
        while path.stat().st_mtime < 2.0:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert not held.is_lost
        leave_lock(a_folder, ELSEWHERE)
        assert held.is_lost
    assert json.loads(path.read_text()) == ELSEWHERE


def test_a_takeover_that_was_interrupted_blocks_nobody_for_ever(a_folder: JobFolder) -> None:
    leave_lock(a_folder, ELSEWHERE, age=2 * STALE)
    guard = a_folder.path / "lock.takeover"
    guard.touch()
    os.utime(guard, (1.0, 1.0))
    with a_folder.lock as held:
        assert held.holder() == Owner.current()
    assert not guard.exists()


def test_a_sentence_comes_back_with_its_code_and_parameters() -> None:
    message = sentence("job.unexpected", reason="KeyError: {x}")
    assert TEXTS[message.code].format(**message.parameters) == message
    read = Event.decode(Event("failed", message, 3).encode())
    assert read is not None
    assert (read.event, read.step, read.message) == ("failed", 3, message)
    assert isinstance(read.message, Sentence)
    assert (read.message.code, read.message.parameters) == (message.code, message.parameters)


def test_a_text_and_the_parameters_of_a_model_are_no_sentence() -> None:
    read = Event.decode(Event("started", "As {it} is.", fields={"parameters": 7}).encode())
    assert read is not None
    assert (read.message, type(read.message), read.fields) == ("As {it} is.", str, {"parameters": 7})
    joint = Event.decode(Event("finished", joined("One.", "Two.")).encode())
    assert joint is not None
    assert (joint.message, type(joint.message)) == ("One. Two.", str)
