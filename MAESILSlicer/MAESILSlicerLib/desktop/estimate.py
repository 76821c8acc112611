"""Estimates the duration of a reconstruction from a short background benchmark of this computer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import qt
from slicer.i18n import tr as _

from MAESILCore.errors import CheckpointError
from MAESILCore.jobs.estimate import estimate_seconds, estimate_text
from MAESILCore.lattice import SuperpatchGrid, usual_overlap
from MAESILCore.machine import Device, DeviceProbe
from MAESILCore.models.bundled import models_folder
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.session import Session

INTERVAL_MS = 200


class Estimate:
    """Measures the speed of the devices, stores it in the settings and estimates durations from it.

    Args:
        session: the session to estimate for.
        onMeasured: called when a measurement is available.
    """

    def __init__(self, session: Session, onMeasured: Callable[[], None]) -> None:
        self._session, self._onMeasured = session, onMeasured
        self._probe: DeviceProbe | None = None
        self._devices = _devicesOf(settings.speeds())
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def isKnown(self) -> bool:
        """Whether a measurement is available, from now or from an earlier use."""
        return bool(self._devices)

    def measure(self) -> None:
        """Measure in the background, unless already done or a job is using the device."""
        if self._probe is None and not self._session.isRunning:
            self._probe = DeviceProbe(measure=True)
            self._timer.start()

    def text(self, device: str, coverage: int, scores: bool) -> str:
        """The estimate as a sentence; "" without a mask, or if the model or device was not measured.

        Args:
            device: auto, cpu, cuda:N or mps.
            coverage: number of masks; 0 is the shown mask.
            scores: whether to compute scores.
        """
        session = self._session
        if session.grid is None or session.mask is None or not self._knowsModel():
            return ""
        if not self.isKnown and self._probe is None:
            return _("Open System check once to estimate the duration.")
        found = self._device(device)
        rate = None if found is None else found.seconds_per_megavoxel
        if rate is None:
            return ""
        mask = session.mask if coverage == 0 else None
        seconds = estimate_seconds(self._workGrid(), coverage, rate, mask, scores=scores)
        return _("This takes {time} on {device}.").format(
            time=translated(estimate_text(seconds)), device=found.name
        )

    def close(self) -> None:
        """Stop the measurement."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)
        if self._probe is not None:
            self._probe.close()

    def _poll(self) -> None:
        report = self._probe.poll()
        if report is not None:
            self._timer.stop()
            self._devices = report.devices
            settings.setSpeeds(json.dumps([asdict(device) for device in report.devices]))
            self._onMeasured()

    def _device(self, identifier: str) -> Device | None:
        # Devices are sorted fastest first, so the automatic choice is the first one.
        return next((one for one in self._devices if identifier in (settings.AUTOMATIC, one.id)), None)

    def _knowsModel(self) -> bool:
        """Whether the model was measured; only bundled models are."""
        try:
            return self._session.model.path.parent == models_folder()
        except CheckpointError:
            return False

    def _workGrid(self) -> SuperpatchGrid:
        """The grid of the reconstruction, with overlapping superpatches."""
        sizes = self._session.model.superpatchSize, self._session.model.patchSize
        overlap = usual_overlap(*sizes, self._session.volumeNode.GetSpacing()[::-1])
        return SuperpatchGrid(self._session.grid.shape, *sizes, overlap)


def _devicesOf(text: str) -> tuple[Device, ...]:
    """The devices stored in the settings; none if another version stored them in another format."""
    try:
        return tuple(Device(**fields) for fields in json.loads(text or "[]"))
    except (ValueError, TypeError):
        return ()
