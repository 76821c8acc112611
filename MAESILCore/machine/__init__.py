"""What this computer has: processor, GPUs, drivers, PyTorch, and how fast they are.

`examine` looks, run by its path in a process of its own; `Probe` starts it and collects what it prints. Neither needs
anything but the standard library, so that they work before anything is installed.
"""

from MAESILCore.machine.probe import Probe
from MAESILCore.machine.report import Device, DeviceProbe, DeviceReport, devices_of

__all__ = ["Device", "DeviceProbe", "DeviceReport", "Probe", "devices_of"]
