"""Progress in time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from MAESILCore.jobfolder import Event
from MAESILCore.jobs.progress import PARTS, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def a_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("MAESILCore.jobs.progress.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_the_bar_follows_time_and_never_goes_back(a_clock: Clock) -> None:
    events: list[Event] = []
    progress = Progress(events.append)
    progress.tick()
    assert not events  # nothing has been said yet
    progress.report("Loading.")
    assert (events[-1].message, events[-1].seconds_left) == ("Loading.", None)
    progress.plan({"writing": 0.2, "scoring": 8.0})
    later = 8.2
    a_clock.now += 50.0  # loading
    progress.begin("The first pass.")
    a_clock.now += 2.0
    progress.passes(1, 4, "One of four.")
    assert events[-1].seconds_left == pytest.approx(6.0 + later)
    assert events[-1].step == int(PARTS * 2.0 / (8.0 + later))
    a_clock.now += 1.0
    progress.tick()
    assert events[-1].seconds_left == pytest.approx(5.0 + later)
    a_clock.now += 20.0  # a pass that takes far longer than the one before
    progress.tick()
    assert events[-1].seconds_left == pytest.approx(0.2 * 21.0 + later)
    progress.passes(2, 4, "Two of four.")
    progress.stage("writing", "Writing.")
    assert events[-1].seconds_left == pytest.approx(later)
    progress.stage("scoring", "Scoring.")
    assert events[-1].message == "Scoring."
    a_clock.now += 1000.0
    progress.tick()
    steps = [event.step for event in events]
    assert steps == sorted(steps)
    assert steps[-1] < PARTS


def test_an_expectation_holds_until_the_first_pass(a_clock: Clock) -> None:
    events: list[Event] = []
    progress = Progress(events.append)
    progress.plan({"scoring": 0.0})
    assert progress.expect(60.0) == 60.0
    progress.begin("The first pass.")
    a_clock.now += 15.0
    progress.tick()
    assert (events[-1].seconds_left, events[-1].step) == (45.0, PARTS // 4)
