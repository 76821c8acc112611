"""Lists the devices in a combo box; all such combo boxes show the one setting of this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.system.wording import deviceText

if TYPE_CHECKING:
    import qt

    from MAESILSlicerLib.system.report import SystemReport


class DeviceList:
    """The devices in a combo box.

    Args:
        combo: a QComboBox; the caller calls `choose` when a person has chosen an item.
    """

    def __init__(self, combo: qt.QComboBox) -> None:
        self._combo = combo
        self._report: SystemReport | None = None
        self._fill()

    def show(self, report: SystemReport | None) -> None:
        """Show the devices of a system check and the setting; only the automatic choice before the check."""
        if report is not self._report or self._combo.currentData != settings.device():
            self._report = report
            self._fill()

    def choose(self, index: int) -> None:
        """Store the device of an item."""
        settings.setDevice(self._combo.itemData(index))

    def _fill(self) -> None:
        combo, report, chosen = self._combo, self._report, settings.device()
        devices = [device for device in report.devices if not device.problem] if report is not None else []
        combo.clear()
        combo.addItem(_("Automatic: the GPU if there is one"), settings.AUTOMATIC)
        for device in devices:
            combo.addItem(deviceText(device), device.id)
        if combo.findData(chosen) < 0:
            absent = _("{device}, not found") if report is not None else _("{device}, not checked yet")
            combo.addItem(absent.format(device=chosen), chosen)
        combo.setCurrentIndex(combo.findData(chosen))
