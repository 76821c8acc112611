"""Methods that the product knows nothing of, installed as another package would bring them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def toy_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with the toys, on the path of this process and of its children."""
    packages = tmp_path / "packages"
    information = packages / "a_toy_of_methods-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: a-toy-of-methods\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[maesil.methods]\ntoy-codebook = toys:ToyCodebook\ntoy-teacher = toys:ToyTeacher\n"
    )
    here = Path(__file__).parent
    for folder in (packages, here):
        monkeypatch.syspath_prepend(str(folder))
    places = [str(packages), str(here), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    return packages
