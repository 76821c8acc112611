"""How long a reconstruction will take, from a small measurement of this computer in the background."""

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
from MAESILSlicerLib.session.session import Session

INTERVAL_MS = 200


class Estimate:
    """Measures how fast the devices are when it is asked to, keeps that for next time, and estimates from it.

    Args:
        session: what is to be reconstructed.
        onMeasured: called when there is something to foretell from.
        makeProbe: starts the measurement.
    """

    def __init__(
        self,
        session: Session,
        onMeasured: Callable[[], None],
        makeProbe: Callable[[], DeviceProbe] = lambda: DeviceProbe(measure=True),
    ) -> None:
        self._session, self._onMeasured, self._makeProbe = session, onMeasured, makeProbe
        self._probe: DeviceProbe | None = None
        self._devices = _devicesOf(settings.speeds())
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def isKnown(self) -> bool:
        """Whether the devices were measured, now or when the module was used before."""
        return bool(self._devices)

    def measure(self) -> None:
        """Measure in the background, unless that was done; not while a job wants the device for itself."""
        if self._probe is None and not self._session.isRunning:
            self._probe = self._makeProbe()
            self._timer.start()

    def text(self, device: str, coverage: int, scores: bool) -> str:
        """A sentence for people; "" where nothing is hidden, or the model or the device was not measured.

        Args:
            device: auto, cpu, cuda:N or mps.
            coverage: masks; 0 for the one that is shown.
            scores: whether the result is scored.
        """
        session = self._session
        if session.grid is None or session.mask is None or not self._knowsModel():
            return ""
        if not self.isKnown and self._probe is None:
            return _("How long this takes is unknown until System check is opened once.")
        found = self._device(device)
        rate = None if found is None else found.seconds_per_megavoxel
        if rate is None:
            return ""
        mask = session.mask if coverage == 0 else None
        seconds = estimate_seconds(self._workGrid(), coverage, rate, mask, scores=scores)
        return _("This takes {time} on {device}.").format(time=estimate_text(seconds, _), device=found.name)

    def close(self) -> None:
        """End the measurement."""
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
        # The fastest kind comes first, as the automatic choice takes it.
        return next((one for one in self._devices if identifier in (settings.AUTOMATIC, one.id)), None)

    def _knowsModel(self) -> bool:
        """Only a bundled model was measured."""
        try:
            return self._session.model.path.parent == models_folder()
        except CheckpointError:
            return False

    def _workGrid(self) -> SuperpatchGrid:
        """The grid of the reconstruction, whose superpatches overlap."""
        sizes = self._session.model.superpatchSize, self._session.model.patchSize
        return SuperpatchGrid(self._session.grid.shape, *sizes, usual_overlap(*sizes))


def _devicesOf(text: str) -> tuple[Device, ...]:
    """The devices that were kept in the settings; none if another version has kept them."""
    try:
        return tuple(Device(**fields) for fields in json.loads(text or "[]"))
    except (ValueError, TypeError):
        return ()
