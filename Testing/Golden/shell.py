"""`maesil` in a process of its own, and its words without what differs from run to run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("app", "demo", "info", "reconstruct", "evaluate", "pretrain", "phantom")

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
#: Durations, and the rates that follow from them.
_TIMES = re.compile(r"-:--:--|\d+:\d\d:\d\d|[\d.]+ superpatches/s")
#: A progress bar, which moves while nothing is known about the progress.
_BAR = re.compile(r" *[━╸╺][━╸╺ ]*")
_TIMED_FIELDS = re.compile(r"^(time|seconds|duration|elapsed|seconds_left|.*_seconds|.*_per_second|.*_ms)$")


@dataclass(frozen=True)
class Said:
    """What a command wrote and its exit code."""

    code: int
    out: str
    err: str


class Shell:
    """Runs `maesil` in one folder.

    Args:
        folder: the working directory; arguments name files below it, so that no absolute path is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, code: int = 0) -> Said:
        """Run `maesil` with these arguments.

        Raises:
            RuntimeError: it ended with another exit code than `code`.
        """
        done = subprocess.run(
            [sys.executable, "-m", "MAESILCore", *arguments],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode != code:
            command = " ".join(("maesil", *arguments))
            message = f"{command} ended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}"
            raise RuntimeError(message)
        return Said(done.returncode, self._neutral(done.stdout), self._neutral(done.stderr))

    def _neutral(self, text: str) -> str:
        lines = _BAR.sub(" BAR ", _TIMES.sub("TIME", text.replace(str(self.folder), "FOLDER"))).splitlines()
        return "\n".join(line.rstrip() for line in lines)


def without_times(content: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON content without its fields that hold times."""
    if isinstance(content, dict):
        return {key: without_times(value) for key, value in content.items() if not _TIMED_FIELDS.match(key)}
    if isinstance(content, list):
        return [without_times(value) for value in content]
    return content


def _environment() -> dict[str, str]:
    wide = {
        "COLUMNS": "160",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": str(ROOT),
    }
    return {**os.environ, **dict.fromkeys(_THREADS, "1"), **wide}
