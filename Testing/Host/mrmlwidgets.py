"""The widgets of qMRML that the module uses: small, upon plain Qt and the real scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QTableView, QVBoxLayout, QWidget
from slicer import vtkMRMLNode, vtkMRMLScene

from .ctkwidgets import stored

#: What happens to a scene, after which a list of its nodes may be another.
SCENE_EVENTS = (
    vtkMRMLScene.NodeAddedEvent,
    vtkMRMLScene.NodeRemovedEvent,
    vtkMRMLScene.EndBatchProcessEvent,
    vtkMRMLScene.EndCloseEvent,
    vtkMRMLScene.EndImportEvent,
)


class Observation:
    """One observed object at a time; gone with the widget that holds it."""

    def __init__(self, events: tuple[int, ...], callback: Callable[[], None]) -> None:
        self._events, self._callback = events, callback
        self._tags: list[int] = []
        self.target: Any = None

    def observe(self, target: Any) -> None:
        if self.target is not None:
            for tag in self._tags:
                self.target.RemoveObserver(tag)
        self.target = target
        self._tags = []
        if target is not None:
            self._tags = [target.AddObserver(event, lambda *_: self._callback()) for event in self._events]


class qMRMLWidget(QWidget):
    """A widget that passes the scene on to those that are connected with it."""

    mrmlSceneChanged = Signal(object)
    _scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class qMRMLNodeComboBox(QWidget):
    """A list of nodes of the given classes; without "None" it always has one chosen while there is one."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeTypes = stored("QStringList", "nodeTypes", [], "_update")
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], "_update")
    showHidden = stored(bool, "showHidden", False, "_update")
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, "_update")
    noneEnabled = stored(bool, "noneEnabled", False, "_update")
    noneDisplay = stored(str, "noneDisplay", "None", "_update")
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName = stored(str, "baseName", "")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ids: list[str] = []
        self._current = ""
        self._attributes: list[tuple[str, str, str | None]] = []
        self._combo = QComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setFocusProxy(self._combo)
        self._observation = Observation(SCENE_EVENTS, self._update)
        self._combo.activated.connect(self._choose)

    def setMRMLScene(self, scene: Any) -> None:
        self._observation.observe(scene)
        self._update()

    def mrmlScene(self) -> Any:
        return self._observation.target

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        self._attributes.append((nodeType, name, value))
        self._update()

    def currentNode(self) -> Any:
        scene = self.mrmlScene()
        return scene.GetNodeByID(self._current) if scene and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        identity = node if isinstance(node, str) else node.GetID() if node is not None else ""
        self._select(identity if identity in self._ids else "")

    setCurrentNodeID = setCurrentNode

    def _currentNodeID(self) -> str:
        return self._current

    currentNodeID = Property(str, _currentNodeID, setCurrentNode)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self._ids[index] if 0 <= index < len(self._ids) else "")

    def nodeCount(self) -> int:
        return len(self._ids)

    def nodeFromIndex(self, index: int) -> Any:
        return self.mrmlScene().GetNodeByID(self._ids[index]) if 0 <= index < len(self._ids) else None

    def _fits(self, node: Any) -> bool:
        wanted = [name for name in self.nodeTypes if node.IsA(name)]
        exact = self.showChildNodeTypes or node.GetClassName() in self.nodeTypes
        hidden = node.GetHideFromEditors() and not self.showHidden
        hiddenChild = any(node.IsA(name) for name in self.hideChildNodeTypes)
        rules = [(name, value) for kind, name, value in self._attributes if node.IsA(kind)]
        agree = all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for name, value in rules
        )
        return bool(wanted) and exact and not hidden and not hiddenChild and agree

    def _update(self) -> None:
        scene = self.mrmlScene()
        if scene is not None and scene.IsBatchProcessing():
            return
        nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())) if scene else ()
        fitting = [node for node in nodes if self._fits(node)]
        self._ids = [node.GetID() for node in fitting]
        names = ([self.noneDisplay] if self.noneEnabled else []) + [node.GetName() for node in fitting]
        self._combo.clear()
        self._combo.addItems(names)
        self._select(self._current if self._current in self._ids else "")

    def _select(self, identity: str) -> None:
        if not identity and not self.noneEnabled and self._ids:
            identity = self._ids[0]
        row = self._ids.index(identity) + self.noneEnabled if identity else self.noneEnabled - 1
        self._combo.setCurrentIndex(row)
        if identity != self._current:
            self._current = identity
            self.currentNodeChanged[object].emit(self.currentNode())
            self.currentNodeChanged[bool].emit(bool(identity))
            self.currentNodeIDChanged.emit(identity)

    def _choose(self, row: int) -> None:
        self.setCurrentNodeIndex(row - self.noneEnabled)
        self.nodeActivated.emit(self.currentNode())


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A choice of a segmentation and of one segment in it."""

    currentNodeChanged = Signal((object,), (bool,))
    currentSegmentChanged = Signal(str)
    noneEnabled = stored(bool, "noneEnabled", False, "_updateSegments")
    editEnabled = stored(bool, "editEnabled", False)
    multiSelection = stored(bool, "multiSelection", False)
    horizontalLayout = stored(bool, "horizontalLayout", False)
    segmentationNodeSelectorVisible = stored(bool, "segmentationNodeSelectorVisible", True)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._segmentIds: list[str] = []
        self._nodes, self._segments = qMRMLNodeComboBox(self), QComboBox(self)
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.noneEnabled = True
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes)
        layout.addWidget(self._segments)
        self._observation = Observation((vtk.vtkCommand.ModifiedEvent,), self._updateSegments)
        self._nodes.currentNodeChanged[object].connect(self._onNode)
        self._segments.currentIndexChanged.connect(
            lambda _: self.currentSegmentChanged.emit(self.currentSegmentID())
        )
        self.mrmlSceneChanged.connect(self._nodes.setMRMLScene)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    setCurrentNodeID = setCurrentNode

    def segmentIDs(self) -> list[str]:
        return list(self._segmentIds)

    def currentSegmentID(self) -> str:
        row = self._segments.currentIndex - self.noneEnabled
        return self._segmentIds[row] if 0 <= row < len(self._segmentIds) else ""

    def setCurrentSegmentID(self, identity: str) -> None:
        row = self._segmentIds.index(identity) + self.noneEnabled if identity in self._segmentIds else -1
        self._segments.currentIndex = max(row, self.noneEnabled - 1)

    def _onNode(self, node: Any) -> None:
        self._observation.observe(node)
        self._updateSegments()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _updateSegments(self) -> None:
        node, before = self.currentNode(), self.currentSegmentID()
        segmentation = node.GetSegmentation() if node else None
        count = segmentation.GetNumberOfSegments() if segmentation else 0
        found = [segmentation.GetNthSegmentID(index) for index in range(count)]
        self._segments.blockSignals(True)
        self._segmentIds = found
        self._segments.clear()
        names = [segmentation.GetSegment(identity).GetName() for identity in found]
        self._segments.addItems((["None"] if self.noneEnabled else []) + names)
        self.setCurrentSegmentID(before)
        self._segments.blockSignals(False)
        if self.currentSegmentID() != before:
            self.currentSegmentChanged.emit(self.currentSegmentID())


class qMRMLTableView(QTableView):
    """A table node as text."""

    mrmlSceneChanged = Signal(object)
    # The attribute of this name is Qt's own virtual method, so the signal can be connected by its signature only.
    _selectionSignal = Signal(name="selectionChanged")
    firstRowLocked = stored(bool, "firstRowLocked", False)
    firstColumnLocked = stored(bool, "firstColumnLocked", False)
    transposed = stored(bool, "transposed", False)
    _scene: Any = None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._observation = Observation((vtk.vtkCommand.ModifiedEvent,), self._update)
        self.setModel(QStandardItemModel(self))
        self.selectionModel().selectionChanged.connect(lambda *_: self._emitSelection())

    setMRMLScene, mrmlScene = qMRMLWidget.setMRMLScene, qMRMLWidget.mrmlScene

    def _emitSelection(self) -> None:
        self._selectionSignal.emit()

    def mrmlTableNode(self) -> Any:
        return self._observation.target

    def setMRMLTableNode(self, node: Any) -> None:
        self._observation.observe(node)
        self._update()

    def _update(self) -> None:
        model, node = self.model(), self.mrmlTableNode()
        model.clear()
        if node is None:
            return
        columns = range(node.GetNumberOfColumns())
        model.setHorizontalHeaderLabels([node.GetColumnName(column) for column in columns])
        for row in range(node.GetNumberOfRows()):
            items = [QStandardItem(node.GetCellText(row, column)) for column in columns]
            for item in items:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            model.appendRow(items)


class qMRMLPlotView(QLabel):
    """Says which chart would be drawn here."""

    mrmlSceneChanged = Signal(object)
    dataSelected = Signal(object, object)
    _scene: Any = None
    _viewNode: Any = None

    setMRMLScene, mrmlScene = qMRMLWidget.setMRMLScene, qMRMLWidget.mrmlScene

    def setMRMLPlotViewNode(self, node: vtkMRMLNode) -> None:
        self._viewNode = node
        chart = node.GetPlotChartNode() if node else None
        self.text = chart.GetName() if chart else ""

    def mrmlPlotViewNode(self) -> Any:
        return self._viewNode
