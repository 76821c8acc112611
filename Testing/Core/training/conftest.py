"""Small scans and the recipe of a run that takes less than a second, shared with `make soak`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from MAESILCore.training import PretrainConfig
from Testing.Soak.kill import RECIPE, make_scans


@pytest.fixture(scope="session")
def small_scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files that no test changes; the recipe holds out the first one."""
    return make_scans(tmp_path_factory.mktemp("small"))


@pytest.fixture
def small_recipe() -> Callable[..., PretrainConfig]:
    """A recipe of six steps with other fields."""
    return lambda **fields: PretrainConfig.model_validate({**RECIPE, "steps": 6, **fields})
