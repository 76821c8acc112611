"""A reconstruction in a process of its own: it can be watched and cancelled, and cannot take its parent down."""

from MAESILCore.jobs.client import JobProcess
from MAESILCore.jobs.devices import (
    Device,
    DeviceProbe,
    DeviceReport,
    estimate_seconds,
    estimate_text,
    probe_devices,
)
from MAESILCore.jobs.events import JobEvent
from MAESILCore.jobs.prepare import prepare_job
from MAESILCore.jobs.request import ReconstructionRequest

__all__ = [
    "Device",
    "DeviceProbe",
    "DeviceReport",
    "JobEvent",
    "JobProcess",
    "ReconstructionRequest",
    "estimate_seconds",
    "estimate_text",
    "prepare_job",
    "probe_devices",
]
