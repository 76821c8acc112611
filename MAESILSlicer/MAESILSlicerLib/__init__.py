"""MAESIL's MRML scene code with the desktop module and the browser face."""

from MAESILSlicerLib import paths

paths.ensureCore()
