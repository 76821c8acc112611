"""The command that measures a test run says what it took and ends as the run did."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

#: A child's child holds memory for longer than the measurement looks away.
HOLDING = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
MEMORY = "import sys, time; held = b'x' * (200 << 20); time.sleep(2.5); sys.exit(3)"


@pytest.mark.process
def test_the_memory_of_all_processes_is_measured_and_the_exit_status_kept(repository: Path) -> None:
    command = [sys.executable, repository / "Testing" / "peak.py", sys.executable, "-c", HOLDING, MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    taken = re.fullmatch(r"\d+ s, \d+ s of processors, at most (\d+\.\d+) GiB of memory\n", done.stdout)
    assert taken, done.stdout + done.stderr
    assert 0.19 < float(taken[1]) < 1.0
