"""`prepare` survives SIGKILL at any change of a file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from MAESILCore.store.preparing import prepare


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
def test_a_kill_at_any_change_of_a_file_changes_nothing_in_the_end(
    write_ct: Callable[..., Path], tmp_path: Path, repository: Path
) -> None:
    for name, seed in (("a.nrrd", 1), ("b.nrrd", 2), ("c.nrrd", 1)):
        write_ct(name, seed, shape=(20, 36, 24))
    write_ct("d.nrrd", shape=(4, 40, 40))
    finished, folder = tmp_path / "finished", tmp_path / "trials"
    prepare([tmp_path / "scans"], finished)
    folder.mkdir()
    program = Path(__file__).with_name("killed.py")
    command = [sys.executable, str(program), str(tmp_path / "scans"), str(finished), str(folder), "11"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, timeout=300, check=True)
    kills, _, wrong = done.stdout.strip().partition(" ")
    assert (wrong, done.stderr) == ("[]", "")
    assert int(kills) >= 6
