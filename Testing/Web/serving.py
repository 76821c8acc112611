"""A running `maesil app` and what is asked of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

REPOSITORY = Path(__file__).resolve().parents[2]

#: A busy machine starts slowly.
START_SECONDS = 120
PATIENCE_MS = 90_000

#: What most tests come as: one after the other, they are the same tab, which the server lets in without a question.
TAB = "tab-of-the-tests-one-after-another"


def write_entry_points(folder: Path) -> None:
    """Let a Python that has this folder on its path find the commands of this checkout, whatever is installed."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    commands = re.search(r'^\[project\.entry-points\."maesil\.commands"\]\n((?:\w.*\n)+)', text, re.MULTILINE)
    assert commands
    metadata = folder / "maesil-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: maesil\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[maesil.commands]\n" + commands[1].replace('"', ""))


class Served:
    """A running `maesil app`.

    Attributes:
        address: as it was printed.
        process: of the server.
    """

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-u", "-m", "MAESILCore", "app", "--no-browser", *arguments]
        self._metadata = tempfile.TemporaryDirectory()
        write_entry_points(Path(self._metadata.name))
        paths = (self._metadata.name, str(REPOSITORY / "MAESILSlicer"))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._wait_for_address()

    @property
    def output(self) -> str:
        """All that the server has printed."""
        return "".join(self._lines)

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.address).port
        assert port is not None
        return port

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as a person does, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(timeout=5)
        self.process.stdout.close()
        self._metadata.cleanup()
        return status

    def _read(self) -> None:
        self._lines.extend(iter(self.process.stdout.readline, ""))

    def _wait_for_address(self) -> str:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            found = re.search(r"http://\S+", self.output)
            if found:
                return found.group()
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.process.kill()
        pytest.fail(f"the server did not start:\n{self.output}")


@contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """A server for the length of the block."""
    served = Served(*arguments)
    try:
        yield served
    finally:
        served.stop()


OpenPage = Callable[..., "Page"]
