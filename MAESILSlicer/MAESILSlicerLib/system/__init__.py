"""System check, installation, diagnostics and storage of what reconstructions need.

Imports only the standard library and light parts of MAESILCore, so that it works before an installation. PyTorch is
never imported in the process with the window.
"""

from MAESILCore.machine import Device
from MAESILSlicerLib.system.check import SystemCheck
from MAESILSlicerLib.system.diagnostics import diagnosticsText, redact
from MAESILSlicerLib.system.install import InstallError, Outcome, install, installPyTorchExtension
from MAESILSlicerLib.system.installers import Installers
from MAESILSlicerLib.system.messages import Explanation, explain, explanation, lastWords
from MAESILSlicerLib.system.plan import InstallPlan, makePlan
from MAESILSlicerLib.system.report import Application, SystemReport
from MAESILSlicerLib.system.storage import KeptSettings, Place, Storage, StorageError, StoredItem
from MAESILSlicerLib.system.wording import deviceText, sizeText

__all__ = [
    "Application",
    "Device",
    "Explanation",
    "InstallError",
    "InstallPlan",
    "Installers",
    "KeptSettings",
    "Outcome",
    "Place",
    "Storage",
    "StorageError",
    "StoredItem",
    "SystemCheck",
    "SystemReport",
    "deviceText",
    "diagnosticsText",
    "explain",
    "explanation",
    "install",
    "installPyTorchExtension",
    "lastWords",
    "makePlan",
    "redact",
    "sizeText",
]
