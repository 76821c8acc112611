"""Trainings that are killed at random moments end in the very weights of an undisturbed one; see `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the soak test forks")
@pytest.mark.parametrize(("processes", "source"), [(1, "scans"), (1, "store"), (2, "scans"), (1, "labels")])
def test_killed_runs_end_in_the_same_weights(processes: int, source: str) -> None:
    # In a process of its own, as forking needs a parent without threads.
    command = [sys.executable, "-m", "Testing.Soak.kill", "--kills", "6", "--source", source]
    command += ["--processes", str(processes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("6 kills")
    assert last.endswith("0 checkpoints were damaged.")
