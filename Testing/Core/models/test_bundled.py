"""The bundled models are found wherever MAESIL is."""

from __future__ import annotations

from pathlib import Path

import pytest

from MAESILCore.errors import CheckpointError
from MAESILCore.models import bundled


def test_a_checkout_keeps_its_models_beside_the_package(repository: Path) -> None:
    assert bundled.models_folder() == repository / "Resources" / "Models"


def test_an_installed_package_carries_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Models").mkdir()
    monkeypatch.setattr(bundled, "_MODEL_FOLDERS", (tmp_path / "Models", tmp_path / "elsewhere"))
    assert bundled.models_folder() == tmp_path / "Models"


def test_an_installation_without_models_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundled, "_MODEL_FOLDERS", (tmp_path / "here", tmp_path / "there"))
    with pytest.raises(CheckpointError, match="install MAESIL again"):
        bundled.models_folder()
