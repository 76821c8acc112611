"""Examines this computer: processor, GPUs, drivers, PyTorch, and the speed of each device.

`examine` is a script for a separate process; `Probe` starts it and reads its output. Both need the standard library
only, so they work before any package is installed.
"""

from MAESILCore.machine.probe import Probe
from MAESILCore.machine.report import Device, DeviceProbe, DeviceReport, devices_of

__all__ = ["Device", "DeviceProbe", "DeviceReport", "Probe", "devices_of"]
