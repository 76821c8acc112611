"""`make bench` measures an older revision only where the history has it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from Testing.Benchmarks import against


def test_a_revision_that_is_not_in_the_history_is_no_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "shallow")], check=True)
    monkeypatch.setattr(against, "ROOT", tmp_path / "shallow")
    monkeypatch.setattr(against, "seconds", lambda root, scan, shape, coverage: 10.0 + coverage)
    rows = against.against_rows(None)
    assert [row[1] for row in rows] == ["10 s", "14 s"]
    assert all("not in this clone's history" in row[2] for row in rows)


def test_old_and_new_stand_in_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "export", lambda revision, folder, *paths: True)
    monkeypatch.setattr(
        against, "seconds", lambda root, scan, shape, coverage: 5.0 if root == against.ROOT else 10.0
    )
    for _, measured, ratio in against.against_rows(None):
        assert measured == "5 s, 051c664 10 s"
        assert ratio == "0.50 x"
