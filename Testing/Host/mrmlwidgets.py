"""The widgets of qMRML that the module uses: small, upon plain Qt and the real scene."""

from __future__ import annotations

from collections.abc import Callable

import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QComboBox, QTableView, QVBoxLayout, QWidget
from slicer import vtkMRMLNode, vtkMRMLScene, vtkMRMLTableNode, vtkSegmentation

from .ctkwidgets import forwarded, kept

_SCENE_EVENTS = (
    vtkMRMLScene.NodeAddedEvent,
    vtkMRMLScene.NodeRemovedEvent,
    vtkMRMLScene.EndBatchProcessEvent,
)


class Observation:
    """What a widget observes: one object at a time."""

    def __init__(self, events: tuple[int, ...], callback: Callable[[], None]) -> None:
        self._events, self._callback = events, callback
        self._tags: list[int] = []
        self.target: vtk.vtkObject | None = None

    def observe(self, target: vtk.vtkObject | None) -> None:
        for tag in self._tags:
            self.target.RemoveObserver(tag)
        self.target = target
        events = self._events if target is not None else ()
        self._tags = [target.AddObserver(event, lambda *_: self._callback()) for event in events]


class qMRMLWidget(QWidget):
    """A widget that passes the scene on to those that are connected with it."""

    mrmlSceneChanged = Signal(object)
    _scene: vtkMRMLScene | None = None

    def setMRMLScene(self, scene: vtkMRMLScene | None) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> vtkMRMLScene | None:
        return self._scene

    def _stack(self, *widgets: QWidget) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in widgets:
            layout.addWidget(widget)
        self.setFocusProxy(widgets[0])


class qMRMLNodeComboBox(qMRMLWidget):
    """A list of nodes of some classes; where "None" is no choice, a node is chosen as soon as there is one."""

    vars().update(kept("qMRMLNodeComboBox"))
    currentNodeChanged = Signal(object)
    nodeAddedByUser = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ids: list[str] = []
        self._current = ""
        self._combo = QComboBox(self)
        self._stack(self._combo)
        self._observation = Observation(_SCENE_EVENTS, self._update)
        self._showChildNodeTypes, self._addEnabled = True, True
        self._combo.activated.connect(self._choose)
        self.mrmlSceneChanged.connect(self._useScene)

    def _useScene(self, scene: vtkMRMLScene | None) -> None:
        self._observation.observe(scene)
        self._update()

    def currentNode(self) -> vtkMRMLNode | None:
        return self._scene.GetNodeByID(self._current) if self._current else None

    def setCurrentNode(self, node: vtkMRMLNode | None) -> None:
        identity = node.GetID() if node is not None else ""
        self._select(identity if identity in self._ids else "")

    currentNodeID = Property(str, lambda self: self._current)

    def addNode(self) -> vtkMRMLNode:
        node = self._scene.AddNewNodeByClass(self.nodeTypes[0], self.baseName)
        self._select(node.GetID())
        self.nodeAddedByUser.emit(node)
        return node

    def _fits(self, node: vtkMRMLNode) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if not self.showChildNodeTypes:
            return node.GetClassName() in self.nodeTypes
        return any(node.IsA(kind) for kind in self.nodeTypes)

    def _update(self) -> None:
        scene = self._scene
        if scene is not None and scene.IsBatchProcessing():
            return
        nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())) if scene else ()
        found = [node for node in nodes if self._fits(node)]
        self._ids = [node.GetID() for node in found]
        self._combo.clear()
        self._combo.addItems(["None"] * self.noneEnabled + [node.GetName() for node in found])
        self._combo.addItems(["Create new"] * self.addEnabled)
        self._select(self._current if self._current in self._ids else "")

    def _select(self, identity: str) -> None:
        if not identity and not self.noneEnabled and self._ids:
            identity = self._ids[0]
        self._combo.currentIndex = (
            self._ids.index(identity) + self.noneEnabled if identity else self.noneEnabled - 1
        )
        if identity != self._current:
            self._current = identity
            self.currentNodeChanged.emit(self.currentNode())

    def _choose(self, row: int) -> None:
        index = row - self.noneEnabled
        if index == len(self._ids):
            self.addNode()
        else:
            self._select(self._ids[index] if index >= 0 else "")


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A choice of a segmentation and of a segment in it.

    The chosen segment outlives the choice of another segmentation, without one of that identity the first is chosen.
    """

    vars().update(kept("qMRMLSegmentSelectorWidget"))
    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    noneEnabled = forwarded(bool, "_nodes", "noneEnabled")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._segmentId = ""
        self._nodes, self._segments = qMRMLNodeComboBox(self), QComboBox(self)
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._stack(self._nodes, self._segments)
        events = (
            vtkSegmentation.SegmentAdded,
            vtkSegmentation.SegmentRemoved,
            vtkSegmentation.SegmentModified,
        )
        self._observation = Observation(events, self._populate)
        self._nodes.currentNodeChanged.connect(self._useNode)
        self._segments.currentIndexChanged.connect(self._choose)
        self.mrmlSceneChanged.connect(self._nodes.setMRMLScene)

    def currentNode(self) -> vtkMRMLNode | None:
        return self._nodes.currentNode()

    def setCurrentNode(self, node: vtkMRMLNode | None) -> None:
        self._nodes.setCurrentNode(node)

    def segmentIDs(self) -> list[str]:
        return []  # The real one tells those of the list for several segments, which is empty.

    def currentSegmentID(self) -> str:
        return self._segmentId

    def setCurrentSegmentID(self, identity: str) -> None:
        row = self._segments.findData(identity)
        if row >= 0:
            self._segments.currentIndex = row

    def _useNode(self, node: vtkMRMLNode | None) -> None:
        self._observation.observe(node)
        self._populate()
        self.currentNodeChanged.emit(node)

    def _populate(self) -> None:
        node = self.currentNode()
        segmentation = node.GetSegmentation() if node is not None else None
        found = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        self._segments.blockSignals(True)
        self._segments.clear()
        if found and self.noneEnabled:
            self._segments.addItem("None", "")
        for one in found:
            self._segments.addItem(segmentation.GetSegment(one).GetName(), one)
        self._segments.currentIndex = self._segments.findData(self._segmentId)
        self._segments.blockSignals(False)
        if found and self._segments.currentIndex < 0:
            self._segments.currentIndex = int(self.noneEnabled)

    def _choose(self, row: int) -> None:
        if self.currentNode() is not None:
            self._segmentId = self._segments.itemData(row) or ""
            self.currentSegmentChanged.emit(self._segmentId)


class qMRMLTableView(QTableView):
    """A table node as text."""

    mrmlSceneChanged = Signal(object)
    # Qt's own virtual method has this name as well, so the signal can be connected by its signature only.
    _chosen = Signal(name="selectionChanged")
    _scene: vtkMRMLScene | None = None
    setMRMLScene, mrmlScene = qMRMLWidget.setMRMLScene, qMRMLWidget.mrmlScene

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._observation = Observation((vtk.vtkCommand.ModifiedEvent,), self._fill)
        self.setModel(QStandardItemModel(self))
        self.selectionModel().selectionChanged.connect(lambda *_: self._chosen.emit())

    def mrmlTableNode(self) -> vtkMRMLTableNode | None:
        return self._observation.target

    def setMRMLTableNode(self, node: vtkMRMLTableNode | None) -> None:
        self._observation.observe(node)
        self._fill()

    def _fill(self) -> None:
        model, node = self.model(), self.mrmlTableNode()
        model.clear()
        columns = range(node.GetNumberOfColumns()) if node is not None else ()
        names = [node.GetColumnName(column) for column in columns]
        if node is not None and node.GetUseColumnTitleAsColumnHeader():
            names = [node.GetColumnTitle(name) or name for name in names]
        model.setHorizontalHeaderLabels(names)
        for row in range(node.GetNumberOfRows() if node is not None else 0):
            model.appendRow([QStandardItem(node.GetCellText(row, column)) for column in columns])
