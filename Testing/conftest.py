"""What every test shares: the real scans, a browser, and a machine that is not overrun."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# Several workers share the cores, so each keeps to one thread. To be set before numpy or torch is loaded.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(_variable, "1")

# A slow machine is no failure, and the same examples are drawn everywhere.
settings.register_profile(
    "maesil", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("maesil")

#: Marks that follow from the fixtures that a test uses.
MARK_OF_FIXTURE = {
    "a_server": "browser",
    "application": "scene",
    "chromium": "browser",
    "host": "gui",
    "hostApplication": "gui",
    "open_page": "browser",
    "scans": "slow",
}
#: Marks of whole rooms, in which nearly every test starts a worker.
MARK_OF_ROOM = {"Core/jobs": "process", "Core/jobfolder": "process"}
#: Marks that admit a child process. Each of these is left out of `make test-fast`.
WITH_CHILDREN = ("process", "scene", "gui", "browser", "slow")

#: Commands of the Pythons that were started since the present test began.
_started: list[str] = []


class _NotedProcess(subprocess.Popen):
    """Notes each Python that a test starts: a second or more that its mark must announce."""

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:  # noqa: ANN401 - as the original
        command = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
        if Path(os.fsdecode(command[0])).name.startswith("python"):
            _started.append(" ".join(os.fsdecode(part) for part in command)[:200])
        super().__init__(args, *more, **options)


subprocess.Popen = _NotedProcess  # type: ignore[misc]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its room and by the fixtures that it uses."""
    for item in items:
        room = item.path.parent.relative_to(REPOSITORY / "Testing").as_posix()
        marks = {MARK_OF_FIXTURE.get(name) for name in getattr(item, "fixturenames", ())}
        for mark in marks | {MARK_OF_ROOM.get(room)}:
            if mark:
                item.add_marker(mark)


@pytest.fixture(autouse=True)
def _child_processes_are_announced(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test without a mark that says so starts no Python."""
    _started.clear()
    yield
    if _started and not any(request.node.get_closest_marker(mark) for mark in WITH_CHILDREN):
        pytest.fail(f"this test starts a process and lacks the mark `process`: {_started[0]}")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def scans() -> Path:
    """The folder of real scans, which is no part of the repository."""
    folder = Path(os.environ.get("MAESIL_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "DATA.md").is_file():
        pytest.skip(f"no real scans in {folder}; set MAESIL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The command of a Chromium that can render a page without a screen."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        command = shutil.which(name)
        if command:
            return command
    pytest.skip("no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium")


@pytest.fixture(scope="session")
def make_tiny_model() -> Callable[..., Path]:
    """Writes an untrained checkpoint that takes hardly any time to use."""

    def make(path: Path, superpatch: int = 16, patch: int = 4, **card_fields: object) -> Path:
        import torch

        from MAESILCore.methods import create
        from MAESILCore.models.card import Card
        from MAESILCore.models.checkpoint import save_checkpoint

        torch.manual_seed(0)
        sizes = {"superpatch_size": (superpatch,) * 3, "patch_size": (patch,) * 3}
        method = create("maesil", sizes, preset="tiny")
        weights = {f"model.{name}": tensor for name, tensor in method.state_dict().items()}
        config = method.config.model_dump(mode="json")
        card = Card(name="tiny", method="maesil", config=config, window=(-1000, 1000), mask={}, step=0)
        card = replace(card, **card_fields)  # type: ignore[arg-type]
        save_checkpoint(path, weights, card)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_model(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of superpatches of 16 x 16 x 16 voxels, in a folder that is not all English."""
    return make_tiny_model(tmp_path_factory.mktemp("modèle") / "tiny.safetensors")
