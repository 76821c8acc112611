"""A kind of job that the product knows nothing of, installed as another package would bring it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TOY = '''
"""Does what its request says."""

import ctypes, os, time
from pathlib import Path

from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobfolder import Event
from MAESILCore.jobs import Kind


def run(folder, request, progress, stopped):
    (folder.path / "pid").write_text(str(os.getpid()))
    if request["do"] == "dawdle":
        time.sleep(600)
    progress.emit(Event("started", "Toying.", total=4, fields={"device": "a toy"}))
    what = request["do"]
    if what == "count":
        for step in range(1, 5):
            progress.emit(Event("step", step=step, total=4, seconds_left=4.0 - step, fields={"loss": 1 / step}))
        return "Counted."
    if what == "sleep":
        time.sleep(600)
    if what == "hang":
        # It keeps Python's lock, so that no thread of the worker can run.
        ctypes.PyDLL(None).sleep(600)
    if what == "listen":
        while not stopped():
            time.sleep(0.01)
        (folder.path / "kept").write_text("a checkpoint")
        raise Cancelled("The toy was put away.")
    if what == "ignore":
        while not stopped():
            time.sleep(0.01)
        return "Done all the same."
    if what == "refuse":
        raise ConfigError("The toy is broken; buy another one.")
    if what == "crash":
        raise ZeroDivisionError("a riddle")
    if what == "abort":
        os.write(2, b"fatal: a riddle\\n")
        os._exit(9)
    if what == "print":
        os.write(1, b"{not json\\n")
        print("from Python", flush=True)
        return "Printed."


KIND = Kind("game", run)
'''


@pytest.fixture
def toy_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with the kind `toy`, on the path of this process and of its children."""
    packages = tmp_path / "packages"
    information = packages / "a_toy-1.0.dist-info"
    information.mkdir(parents=True)
    (packages / "a_toy.py").write_text(TOY, encoding="utf-8")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: a-toy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[maesil.jobs]\ntoy = a_toy:KIND\n")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]))
    return packages
