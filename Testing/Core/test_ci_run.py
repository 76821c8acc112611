"""Continuous integration is not green because tests were skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Debian and Ubuntu")


@pytest.mark.parametrize(
    ("is_there", "can_install", "is_ci", "is_tested"),
    [
        (True, False, True, True),
        (False, True, True, True),
        (False, False, True, False),
        (False, False, False, True),
    ],
)
def test_missing_packages_fail_in_ci_and_are_told_elsewhere(
    repository: Path, tmp_path: Path, is_there: bool, can_install: bool, is_ci: bool, is_tested: bool
) -> None:
    commands = {
        "dpkg-query": "echo installed" if is_there else "exit 1",
        "apt-get": "exit 0" if can_install else "exit 100",
        "sudo": 'shift; exec "$@"',
        "make": "echo tested",
    }
    for name, program in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("bash", "dirname", "id", "sh"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PATH": str(tmp_path)} | ({"CI": "true"} if is_ci else {})
    done = subprocess.run(
        [tmp_path / "bash", repository / ".ci" / "run"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode == 0, "tested" in done.stdout) == (is_tested, is_tested), done.stderr
    told = "apt-get could not install xvfb" in done.stdout + done.stderr
    assert told is not (is_there or can_install)
