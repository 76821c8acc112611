"""A stand-in for the desktop application of 3D Slicer, for tests alone.

Real: Qt (PySide6), the MRML scene with its logics (slicer-core), `slicer.util`, the module and its `.ui` file.
Imitated, as far as the module needs it: PythonQt's way of speaking to Qt (`pythonqt`), the widgets of ctk and qMRML
(`ctkwidgets`, `mrmlwidgets`), the parameter node wrapper (`parameters`), what a module inherits (`scripted`) and the
application around it (`application`). The views are those of the tests (`Testing/Slicer/layoutviews.py`). It follows
what was observed in 3D Slicer 5.12.3; where the two differ, this one is wrong.
"""

from . import pythonqt as pythonqt  # Before anything else that loads Qt.
