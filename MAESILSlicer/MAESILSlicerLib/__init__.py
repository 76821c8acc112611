"""Everything of MAESIL that knows a MRML scene; the desktop module and the browser face are built upon it."""

from MAESILSlicerLib import paths

paths.ensureCore()
