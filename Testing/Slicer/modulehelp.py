"""What the tests of the window share: a computer that answers at once, small volumes, and the work in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slicer

from volumes import addTestVolume

if TYPE_CHECKING:
    from hosting import Host

#: What `examine.py` prints on a computer without a GPU on which everything is installed.
FACTS: dict[str, Any] = {
    "machine": {
        "part": "machine",
        "system": "Linux",
        "release": "6.1",
        "machine": "x86_64",
        "python": "3.12.10",
        "gpus": [],
        "driver": None,
        "driver_problem": "",
        "pci_gpus": 0,
        "visible_devices": None,
    },
    "packages": {"part": "packages", "versions": {}},
    "torch": {
        "part": "torch",
        "installed": True,
        "version": "2.6.0+cpu",
        "metadata": "2.6.0",
        "cuda": None,
        "hip": None,
        "cuda_available": False,
        "devices": [],
        "mps": False,
        "numpy_error": "",
        "error": "",
        "warnings": [],
    },
    "timed_out": False,
    "exit_code": 0,
    "errors": "",
}

#: The same before PyTorch is installed.
FACTS_WITHOUT_TORCH = FACTS | {
    "torch": {
        "part": "torch",
        "installed": False,
        "version": None,
        "metadata": None,
        "error": "",
        "warnings": [],
    }
}


def answerAtOnce(monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any]) -> None:
    """Let system checks find these facts without a child process, and let nothing be measured."""
    from MAESILCore.machine import Probe
    from MAESILSlicerLib.desktop.estimate import Estimate

    monkeypatch.setattr(Probe, "start", lambda probe: None)
    monkeypatch.setattr(Probe, "poll", lambda probe: facts)
    monkeypatch.setattr(Probe, "close", lambda probe: None)
    monkeypatch.setattr(Estimate, "measure", lambda estimate: None)


class OpenModule:
    """The module, open in the host and with a small model, as tests use it."""

    def __init__(self, host: Host, model: Path) -> None:
        self.host, self.model = host, model
        host.open()
        self.parameters.model = str(model)
        self.checkSystem()

    @property
    def ui(self) -> Any:  # noqa: ANN401 - widgets by name
        return self.host.ui

    @property
    def window(self) -> Any:  # noqa: ANN401 - MAESILSlicerLib.desktop.window.Window
        return self.host.widget.window

    @property
    def logic(self) -> Any:  # noqa: ANN401 - MAESILSlicerLogic
        return self.host.widget.logic

    @property
    def session(self) -> Any:  # noqa: ANN401 - Session
        return self.logic.session

    @property
    def parameters(self) -> Any:  # noqa: ANN401 - MAESILSlicerParameterNode
        return self.logic.getParameterNode()

    @property
    def status(self) -> str:
        """What the status row says."""
        return self.ui.statusLabel.text if self.ui.statusLabel.isVisibleTo(self.host.window) else ""

    def checkSystem(self) -> None:
        """Open the section System check, which checks the computer, and close it again."""
        self.ui.systemSection.collapsed = False
        self.host.wait(lambda: self.window.system.report is not None)
        self.ui.systemSection.collapsed = True

    def use(self, **volume: Any) -> slicer.vtkMRMLScalarVolumeNode:  # noqa: ANN401 - as for addTestVolume
        """Add a small volume and choose it."""
        node = addTestVolume(self.host.scene, **{"shape": (24, 32, 40), **volume})
        self.ui.volumeSelector.setCurrentNode(node)
        self.host.process()
        return node

    def start(self) -> None:
        """Press Reconstruct for the one mask that is shown."""
        self.ui.predictionComboBox.setCurrentIndex(1)
        self.host.process()
        self.host.click(self.ui.reconstructButton)
        assert self.session.isRunning, self.status

    def finish(self, until: Callable[[], object] | None = None) -> None:
        """Wait until no job is running, or until something is the case."""
        self.host.wait(until or (lambda: not self.session.isRunning), 120)
        self.host.process()

    def leftovers(self) -> list[Path]:
        """What jobs have left on the disk."""
        return [path for path in self.session.jobsFolder.glob("*") if not path.name.startswith("export-")]

    def namesOf(self, className: str) -> list[str]:
        """The names of the scene's nodes of a class."""
        return [node.GetName() for node in slicer.util.getNodesByClass(className)]


def stagesOf(module: OpenModule) -> np.ndarray:
    """A copy of the mask that is shown, (k, j, i) patches."""
    return np.array(module.session.mask.stages)
