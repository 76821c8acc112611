"""Some hundred damaged files of the many that `make fuzz` reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.process
@pytest.mark.slow
def test_no_damaged_file_is_read_wrong(repository: Path) -> None:
    command = [
        sys.executable,
        str(repository / "Testing" / "Fuzz" / "run.py"),
        "--count",
        "420",
        "--seed",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("420 mutated files, 0 wrong"), done.stdout


@pytest.mark.process
def test_a_case_can_be_read_again_with_what_was_done_to_it(repository: Path) -> None:
    command = [sys.executable, str(repository / "Testing" / "Fuzz" / "run.py"), "--only", "13"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert first.stdout.startswith("case 13, metaimage detached, ")
    assert first.stdout.splitlines()[0] == second.stdout.splitlines()[0]
