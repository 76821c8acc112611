"""Reads `.ui` files: the stand-ins take the place of the widgets of ctk and qMRML, and connections are made by name."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtUiTools import QUiLoader as PlainLoader
from PySide6.QtWidgets import QWidget

from . import ctkwidgets, mrmlwidgets, pythonqt


class QUiLoader(PlainLoader):
    """As Slicer's, for the classes in use; any other class from outside Qt is an error."""

    def createWidget(self, kind: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        standIn = getattr(ctkwidgets, kind, None) or getattr(mrmlwidgets, kind, None)
        if standIn is None:
            return super().createWidget(kind, parent, name)
        widget = standIn(parent)
        widget.objectName = name
        return widget

    def load(self, device: QIODevice, parent: QWidget | None = None) -> Any:
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        connections = tree.find("connections")
        wanted = [] if connections is None else list(connections)
        if connections is not None:
            tree.remove(connections)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(tree)))
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        pythonqt.loading = True
        widget = super().load(buffer, parent)
        pythonqt.loading = False
        for connection in wanted:
            sender, signal, receiver, slot = (
                connection.findtext(part) for part in ("sender", "signal", "receiver", "slot")
            )
            ends = {widget.name: widget} | {child.name: child for child in widget.findChildren(QWidget)}
            ends[sender].connect(signal, getattr(ends[receiver], slot.partition("(")[0]))
        return widget
