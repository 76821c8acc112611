"""Objects of other packages are found by their entry points."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from MAESILCore import plugins
from MAESILCore.plugins import Plugins


@pytest.fixture
def a_package(tmp_path: Path) -> Path:
    information = tmp_path / "a_plugin-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: a-plugin\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[a.group]\nroot = math:sqrt\nown = math:sin\n")
    return tmp_path


def test_entry_points_are_read_once_and_again_for_another_path(
    a_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = plugins.entry_points

    def counted(group: str) -> object:
        reads.append(group)
        return read(group=group)

    monkeypatch.setattr(plugins, "entry_points", counted)
    found: Plugins[object] = Plugins("a.group", {"own": "math:cos"})
    assert dict(found) == {"own": math.cos}
    monkeypatch.syspath_prepend(str(a_package))
    assert dict(found) == {"root": math.sqrt, "own": math.cos}, "a built-in one takes precedence"
    assert len(found) == 2
    assert found.get("absent") is None
    assert reads == ["a.group"] * 2


def test_a_look_up_of_names_imports_nothing() -> None:
    found: Plugins[object] = Plugins("another.group", {"broken": "no_such_module:thing"})
    assert list(found) == ["broken"]
    assert "broken" in found
    with pytest.raises(ModuleNotFoundError):
        found["broken"]
