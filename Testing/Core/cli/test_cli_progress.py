"""A stop is a wish first and an order later."""

from __future__ import annotations

import signal
import threading

import pytest

from MAESILCore.cli import progress
from MAESILCore.cli.progress import stop_requested


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_is_a_wish(name: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"there is no {name} here")
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores SIGHUP, also for the tests
    try:
        with stop_requested() as stopped:
            assert not stopped()
            signal.raise_signal(number)
            assert stopped()
    finally:
        signal.signal(number, before)


def test_a_launcher_that_repeats_the_signal_changes_nothing() -> None:
    with stop_requested() as stopped:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stopped()


def test_a_later_signal_is_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SAME_STOP_SECONDS", -1.0)
    with stop_requested():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_a_scheduler_may_repeat_its_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SAME_STOP_SECONDS", -1.0)
    with stop_requested([signal.SIGTERM, signal.SIGUSR1]) as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped() == 1
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
            assert stopped() == 2


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_closed_terminal_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requested() as stopped:
            signal.raise_signal(signal.SIGHUP)
            assert not stopped()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requested():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_is_never_stopped() -> None:
    answers: list[int] = []

    def work() -> None:
        with stop_requested() as stopped:
            answers.append(stopped())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [0]
