"""The stand-in host does what was observed in the running 3D Slicer 5.12.3.

Each test names, in its docstring, the rows of that observation which it holds the host to.
"""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
import vtk

if TYPE_CHECKING:
    import slicer
    from Host.application import Application

    from hosting import Host

DEMO_UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>W</class>
 <widget class="qMRMLWidget" name="W"><layout class="QVBoxLayout">
  <item><widget class="ctkCollapsibleButton" name="inputsButton"><layout class="QVBoxLayout" name="l">
   <item><widget class="qMRMLNodeComboBox" name="inputSelector">
    <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
    <property name="noneEnabled"><bool>true</bool></property>
    <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
   <item><widget class="ctkSliderWidget" name="ratioSlider">
    <property name="SlicerParameterName" stdset="0"><string>ratio</string></property></widget></item>
   <item><widget class="QSpinBox" name="seedSpinBox">
    <property name="SlicerParameterName" stdset="0"><string>seed</string></property></widget></item>
   <item><widget class="QComboBox" name="modeComboBox">
    <property name="SlicerParameterName" stdset="0"><string>mode</string></property></widget></item>
   <item><widget class="QCheckBox" name="showCheckBox">
    <property name="SlicerParameterName" stdset="0"><string>show</string></property></widget></item>
  </layout></widget></item>
 </layout></widget>
 <connections><connection><sender>W</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections>
</ui>
"""

DEMO_MODULE = """
import slicer
from slicer.ScriptedLoadableModule import *

class Demo(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Demo"

class DemoWidget(ScriptedLoadableModuleWidget, slicer.util.VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        slicer.util.VTKObservationMixin.__init__(self)
        self.seen = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Demo.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = DemoLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClosed)

    def enter(self):
        self.seen.append("enter")

    def cleanup(self):
        self.seen.append("cleanup")
        self.removeObservers()

    def onClosed(self, caller, event):
        self.seen.append("closed")

class DemoLogic(ScriptedLoadableModuleLogic):
    pass
"""


class Mode(enum.Enum):
    nested = 1
    random = 2


@pytest.fixture
def qt(hostApplication: Application) -> ModuleType:
    """The module `qt` of the host."""
    from Host.pythonqt import qt

    return qt


@pytest.fixture
def calls() -> list[object]:
    """What slots were called with."""
    return []


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A module of a few lines."""
    ui = tmp_path / "Demo" / "Resources" / "UI" / "Demo.ui"
    ui.parent.mkdir(parents=True)
    ui.write_text(DEMO_UI)
    (tmp_path / "Demo" / "Demo.py").write_text(DEMO_MODULE)
    return tmp_path / "Demo" / "Demo.py"


@pytest.fixture
def Parameters(host: Host) -> type:
    """A parameter node with the fields of the observation."""
    import slicer
    from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

    class Fields:
        ratio: float = 0.25
        seed: int = 3
        show: bool = True
        name: str = "a"

    Fields.__annotations__ = {
        "inputVolume": slicer.vtkMRMLScalarVolumeNode,
        "ratio": Annotated[float, WithinRange(0, 1)],
        "seed": Annotated[int, WithinRange(0, 100)],
        "mode": Mode,
        "show": bool,
        "name": str,
    }
    Fields.mode = Mode.random
    return parameterNodeWrapper(Fields)


@pytest.fixture
def parameterNode(host: Host) -> slicer.vtkMRMLScriptedModuleNode:
    """An empty parameter node."""
    return host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


# PythonQt


def test_a_property_is_an_attribute_and_its_setter_stays_a_method(qt: ModuleType) -> None:
    """Rows: property read sb.value; property call sb.value(); property assignment sb.value=7; setter call."""
    box = qt.QSpinBox()
    assert box.value == 0
    with pytest.raises(TypeError, match="'int' object is not callable"):
        box.value()
    box.value = 7
    assert box.value == 7
    assert box.setValue(8) is None
    assert box.value == 8


def test_signals_are_connected_by_signature_and_by_name(qt: ModuleType, calls: list[object]) -> None:
    """Rows: sb.connect('valueChanged(int)', f); sb.valueChanged.connect(f)."""
    box = qt.QSpinBox()
    assert box.connect("valueChanged(int)", lambda value: calls.append(("a", value))) is True
    box.value = 9
    assert box.valueChanged.connect(lambda value: calls.append(("b", value)))
    box.value = 10
    assert calls == [("a", 9), ("a", 10), ("b", 10)]


def test_a_disconnected_slot_is_called_no_more(qt: ModuleType, calls: list[object]) -> None:
    """Row: sb.connect('valueChanged(int)', f), undone by `disconnect`, as the module's panels do."""
    box = qt.QSpinBox()
    box.connect("valueChanged(int)", calls.append)
    box.disconnect("valueChanged(int)", calls.append)
    box.value = 3
    assert not calls


def test_a_signal_that_does_not_exist_is_refused(qt: ModuleType) -> None:
    """Row: button.connect('clicked()', f): a signature is one of the class or an error."""
    with pytest.raises(ValueError, match="no signal pressedLong"):
        qt.QPushButton().connect("pressedLong()", print)


def test_clicked_tells_its_state_to_who_wants_to_know(qt: ModuleType, calls: list[object]) -> None:
    """Rows: button.clicked.connect(f) args; ... (f without args); button.connect('clicked()', f)."""
    button = qt.QPushButton()
    button.clicked.connect(lambda state: calls.append((state,)))
    button.clicked.connect(lambda: calls.append("noargs"))
    button.connect("clicked()", lambda: calls.append("c"))
    button.click()
    assert calls == [(False,), "noargs", "c"]


def test_a_name_that_is_no_property_cannot_be_put_on_a_widget(qt: ModuleType) -> None:
    """Rows: button.enabled = False; unknown attribute assignment on a widget."""
    button = qt.QPushButton()
    button.enabled = False
    assert button.enabled is False
    message = "'notThere' does not exist on QPushButton and creating new attributes on C"
    with pytest.raises(AttributeError, match=message):
        button.notThere = 1
    with pytest.raises(AttributeError, match="does not exist"):
        button.click = print


def test_enums_are_numbers(qt: ModuleType) -> None:
    """Rows: Qt enum qt.Qt.AlignCenter; scoped enum qt.Qt.AlignmentFlag.AlignCenter; qt.QMessageBox.Ok."""
    assert qt.Qt.AlignCenter == qt.Qt.AlignmentFlag.AlignCenter == 132
    assert qt.QMessageBox.Ok == 1024
    label = qt.QLabel()
    label.alignment = 132
    assert label.alignment == qt.Qt.AlignCenter


def test_combo_boxes_count_by_a_property(qt: ModuleType, calls: list[object]) -> None:
    """Rows: QComboBox items; combo.count(); combo.currentIndexChanged overload int and .connect."""
    combo = qt.QComboBox()
    combo.addItem("a", 5)
    combo.addItems(["b", "c"])
    assert (combo.count, combo.currentText, combo.itemData(0)) == (3, "a", 5)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        combo.count()
    assert combo.connect("currentIndexChanged(int)", calls.append)
    combo.setCurrentIndex(1)
    assert calls == [1]


def test_timers_run(qt: ModuleType, hostApplication: Application, calls: list[object]) -> None:
    """Rows: QTimer.singleShot(0,f); QTimer.active property after start."""
    qt.QTimer.singleShot(0, lambda: calls.append("shot"))
    timer = qt.QTimer()
    timer.setInterval(1)
    timer.start()
    assert timer.active is True
    hostApplication.processEvents()
    timer.stop()
    assert calls == ["shot"]


def test_calls_of_qt_give_up_no_reference_that_python_needs(
    qt: ModuleType, hostApplication: Application
) -> None:
    """No row: a PySide that does ends a long run of the tests, in Python before 3.12 and wherever it happens to be."""
    timer = qt.QTimer()
    before = [sys.getrefcount(value) for value in (None, True, False)]
    for _ in range(1000):
        hostApplication.processEvents()
        timer.stop()
        timer.blockSignals(timer.blockSignals(True))
    after = [sys.getrefcount(value) for value in (None, True, False)]
    assert np.abs(np.subtract(after, before)).max() < 500


def test_classes_of_the_module_may_have_signals_and_attributes(qt: ModuleType, calls: list[object]) -> None:
    """Row: python subclass with qt.Signal."""

    class Sender(qt.QObject):
        told = qt.Signal(int)

    sender = Sender()
    sender.note = "its own"
    sender.told.connect(calls.append)
    sender.told.emit(4)
    assert calls == [4]


def test_a_file_dialog_gives_a_path(qt: ModuleType) -> None:
    """Row: QFileDialog static present; what it gives is a path alone, and here it comes from the test."""
    from Host.pythonqt import Dialogs

    Dialogs.answers = ("/a/folder",)
    assert qt.QFileDialog.getExistingDirectory(None, "Choose") == "/a/folder"
    assert Dialogs.asked[-1] == "Choose"
    with pytest.raises(AssertionError, match="unexpected dialog: Choose"):
        qt.QFileDialog.getOpenFileName(None, "Choose")


def test_plain_classes_of_qt_are_all_there(qt: ModuleType) -> None:
    """Rows: QUrl local file; QDesktopServices; QColor name; QPixmap/QIcon; QTableWidget row."""
    assert qt.QUrl.fromLocalFile("/a b").toString() == "file:///a b"
    assert qt.QDesktopServices.openUrl(qt.QUrl("file:///a"))
    assert qt.QColor(1, 2, 3).name() == "#010203"
    assert qt.QPixmap(4, 4).width() == 4
    table = qt.QTableWidget()
    table.setRowCount(1)
    table.setColumnCount(1)
    table.setItem(0, 0, qt.QTableWidgetItem("x"))
    assert table.item(0, 0).text() == "x"
    with pytest.raises(AttributeError, match="has no attribute 'QRegExp'"):
        qt.QRegExp  # noqa: B018 - gone since Qt 6


def test_properties_that_were_made_up_are_found_again(qt: ModuleType) -> None:
    """Rows: setProperty/dynamic; blockSignals; QSignalBlocker."""
    box = qt.QSpinBox()
    assert box.setProperty("SlicerParameterName", "x") is False
    assert box.property("SlicerParameterName") == "x"
    assert (box.blockSignals(True), box.blockSignals(False)) == (False, True)
    blocker = qt.QSignalBlocker(box)
    assert box.signalsBlocked()
    blocker.unblock()


def test_children_are_found_by_name(qt: ModuleType) -> None:
    """Rows: findChild by name; slicer.util.findChild."""
    import slicer

    parent = qt.QWidget()
    box = qt.QSpinBox(parent)
    box.objectName = "sb1"
    assert parent.findChild(qt.QSpinBox, "sb1") is box
    assert slicer.util.findChild(parent, "sb1") is box
    assert box.className() == "QSpinBox"


# The application


def test_the_application_tells_where_and_what_it_is(host: Host, tmp_path: Path, calls: list[object]) -> None:
    """Rows: i18n tr; slicer.app.testingEnabled(); app.connect startupCompleted; applicationVersion; app paths."""
    import slicer
    from slicer.i18n import tr

    assert tr("x") == "x"
    assert slicer.app.testingEnabled() is False
    assert slicer.app.connect("startupCompleted()", lambda: calls.append("started")) is True
    host.app.startupCompleted.emit()
    assert calls == ["started"]
    assert slicer.app.applicationVersion.startswith("5.12.3")
    assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 12)
    assert slicer.app.temporaryPath == str(tmp_path)


def test_settings_are_kept_and_are_no_other_tests(host: Host, qt: ModuleType, tmp_path: Path) -> None:
    """Row: QSettings roundtrip."""
    settings = qt.QSettings()
    assert not settings.contains("MAESIL/count")
    settings.setValue("MAESIL/count", 3)
    assert int(qt.QSettings().value("MAESIL/count")) == 3
    assert Path(settings.fileName()).is_relative_to(tmp_path)


def test_slicer_util_runs_unchanged(host: Host) -> None:
    """Row: showStatusMessage/tryWithErrorDisplay/NodeModify/RenderBlocker/MessageDialog/VTKObservationMixin."""
    import slicer

    assert slicer.util.mainWindow() is host.window
    assert slicer.util.showStatusMessage("hello")
    assert host.window.statusBar().currentMessage() == "hello"
    with slicer.util.RenderBlocker(), slicer.util.WaitCursor():
        pass
    host.dialogs.answers = (1024, 1024)
    assert slicer.util.confirmOkCancelDisplay("Really?") is True
    with pytest.raises(ValueError, match="because"), slicer.util.tryWithErrorDisplay("It failed"):
        raise ValueError("because")
    assert [text.split("\n")[0] for text in host.dialogs.asked] == ["Really?", "It failed"]


def test_a_node_that_is_about_to_go_is_told_with_the_event(host: Host, calls: list[object]) -> None:
    """Row: NodeAboutToBeRemovedEvent with calldata."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onRemoved(_caller: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        calls.append(node.GetName())

    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "gone")
    tag = host.scene.AddObserver(host.scene.NodeAboutToBeRemovedEvent, onRemoved)
    host.scene.RemoveNode(node)
    host.scene.RemoveObserver(tag)
    assert calls == ["gone"]


def test_a_layout_of_ones_own_brings_its_views(host: Host) -> None:
    """Rows: app.layoutManager API; register custom layout; switch to custom layout; view names."""
    import slicer

    manager = slicer.app.layoutManager()
    before = manager.layout
    view = '<view class="vtkMRMLSliceNode" singletontag="MA"><property name="orientation">Coronal</property></view>'
    xml = f'<layout type="horizontal"><item>{view}</item></layout>'
    assert manager.layoutLogic().GetLayoutNode().AddLayoutDescription(98765, xml)
    manager.setLayout(98765)
    assert "MA" in manager.sliceViewNames()
    assert manager.sliceWidget("MA").mrmlSliceNode().GetOrientation() == "Coronal"
    assert manager.sliceWidget("MA").sliceLogic().GetSliceCompositeNode() is not None
    manager.setLayout(before)
    assert set(manager.sliceViewNames()) == {"Red", "Green", "Yellow", "MA"}


def test_a_chart_is_shown_in_a_layout_with_a_plot(host: Host) -> None:
    """Row: plot chart shown in layout."""
    import slicer

    chart = host.scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    assert slicer.app.layoutManager().layout == 37
    assert slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode().GetPlotChartNode() is chart


# Widgets of ctk and qMRML, .ui files


def test_a_ui_file_gives_widgets_by_name_and_passes_the_scene_on(host: Host, demo: Path) -> None:
    """Row: loadUI + childWidgetVariables + mrmlSceneChanged connection in .ui."""
    import slicer

    widget = slicer.util.loadUI(str(demo.parent / "Resources" / "UI" / "Demo.ui"))
    ui = slicer.util.childWidgetVariables(widget)
    assert {"W", "inputSelector", "inputsButton", "l"} <= set(vars(ui))
    widget.setMRMLScene(host.scene)
    assert ui.inputSelector.mrmlScene() is host.scene
    assert ui.inputSelector.property("SlicerParameterName") == "inputVolume"


def test_a_node_selector_follows_the_scene(host: Host, calls: list[object]) -> None:
    """Row: qMRMLNodeComboBox behaviour."""
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(host.scene)
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: calls.append(node and node.GetName()))
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "v")
    assert (selector.currentNode().GetName(), selector.currentNodeID, calls) == (
        "v",
        "vtkMRMLScalarVolumeNode1",
        ["v"],
    )
    host.scene.RemoveNode(node)
    assert selector.currentNode() is None
    selector.noneEnabled = True
    host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "w")
    assert selector.currentNode() is None


def test_a_slider_with_its_box_has_one_value(host: Host, calls: list[object]) -> None:
    """Widgets: ctk.ctkSliderWidget."""
    import ctk

    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep = 0.0, 1.0, 0.05
    slider.connect("valueChanged(double)", calls.append)
    slider.value = 0.75
    slider.setValue(2.0)
    assert calls == [0.75, 1.0]


def test_a_section_opens_and_closes(host: Host, calls: list[object]) -> None:
    """Widgets: ctk.ctkCollapsibleButton, ctk.ctkCollapsibleGroupBox."""
    import ctk

    section = ctk.ctkCollapsibleButton()
    section.connect("contentsCollapsed(bool)", calls.append)
    section.collapsed = True
    assert (section.checked, calls) == (False, [True])
    group = ctk.ctkCollapsibleGroupBox()
    group.collapsed = True
    assert group.checked is False


def test_a_segment_selector_knows_segmentation_and_segment(host: Host, calls: list[object]) -> None:
    """Widgets: slicer.qMRMLSegmentSelectorWidget."""
    import slicer

    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(host.scene)
    selector.connect("currentSegmentChanged(QString)", calls.append)
    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "s")
    node.GetSegmentation().AddEmptySegment("one", "One")
    selector.setCurrentNode(node)
    assert (selector.currentNode() is node, selector.currentSegmentID()) == (True, "one")
    assert calls == ["one"]


def test_a_segment_selector_takes_the_first_segment_where_the_chosen_one_is_not(
    host: Host, calls: list[object]
) -> None:
    """Widgets: slicer.qMRMLSegmentSelectorWidget; as its source has it."""
    import slicer

    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.noneEnabled = True
    selector.setMRMLScene(host.scene)
    nodes = [host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode") for _ in range(2)]
    for node, segments in zip(nodes, (("a", "b"), ("c", "d")), strict=True):
        for segment in segments:
            node.GetSegmentation().AddEmptySegment(segment, segment.upper())
    selector.connect("currentSegmentChanged(QString)", calls.append)
    selector.setCurrentNode(nodes[0])
    assert (selector.currentSegmentID(), calls) == ("", [])
    selector.setCurrentSegmentID("b")
    selector.setCurrentNode(None)
    assert selector.currentSegmentID() == "b"
    selector.setCurrentNode(nodes[1])
    selector.setCurrentSegmentID("b")
    assert calls == ["b", "c"]
    selector.setCurrentSegmentID("d")
    nodes[1].GetSegmentation().RemoveSegment("d")
    assert calls == ["b", "c", "d", "c"]
    selector.setCurrentSegmentID("")
    assert calls == ["b", "c", "d", "c", ""]


def test_a_table_view_shows_a_table_and_tells_of_the_chosen_row(host: Host, calls: list[object]) -> None:
    """Widgets: slicer.qMRMLTableView."""
    import slicer

    table = host.scene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, np.array([[1.5, 2.5], [3.5, 4.5]]), ["a", "b"])
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    view.connect("selectionChanged()", lambda: calls.append(view.currentIndex().row()))
    view.selectRow(1)
    assert calls == [1]
    assert view.mrmlTableNode() is table


# Parameter nodes


def test_choices_are_kept_as_text_in_the_node(Parameters: type, parameterNode: Any) -> None:  # noqa: ANN401
    """Row: parameter node wrapper: stored form."""
    parameters = Parameters(parameterNode)
    stored = {name: parameterNode.GetParameter(name) for name in parameterNode.GetParameterNames()}
    assert stored == {
        "inputVolume": "",
        "mode": "random",
        "name": "a",
        "ratio": "0.25",
        "seed": "3",
        "show": "True",
    }
    assert (parameters.inputVolume, parameters.ratio) == (None, 0.25)
    volume = parameterNode.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.inputVolume = volume
    assert Parameters(parameterNode).inputVolume is volume
    assert parameterNode.GetNodeReferenceID("inputVolume") == volume.GetID()


def test_choices_keep_to_their_bounds(Parameters: type, parameterNode: Any) -> None:  # noqa: ANN401
    """Row: parameter node wrapper: out of range."""
    parameters = Parameters(parameterNode)
    with pytest.raises(ValueError, match=r"Value must be within range \[0, 1\], is 2"):
        parameters.ratio = 2
    with pytest.raises(TypeError, match="Value must be of type"):
        parameters.seed = 1.5
    assert parameters.ratio == 0.25


def test_choices_and_widgets_follow_each_other(
    host: Host,
    demo: Path,
    Parameters: type,
    parameterNode: Any,  # noqa: ANN401
) -> None:
    """Row: parameter node wrapper: connectGui."""
    import slicer

    widget = slicer.util.loadUI(str(demo.parent / "Resources" / "UI" / "Demo.ui"))
    ui = slicer.util.childWidgetVariables(widget)
    widget.setMRMLScene(host.scene)
    parameters = Parameters(parameterNode)
    tag = parameters.connectGui(ui)
    assert (ui.ratioSlider.minimum, ui.ratioSlider.maximum, ui.modeComboBox.count) == (0.0, 1.0, 2)
    assert (ui.modeComboBox.currentText, ui.seedSpinBox.value, ui.showCheckBox.checked) == ("random", 3, True)
    ui.ratioSlider.value = 0.75
    ui.modeComboBox.currentIndex = 0
    ui.showCheckBox.click()
    assert (parameters.ratio, parameters.mode, parameters.show) == (0.75, Mode.nested, False)
    parameters.seed = 11
    assert ui.seedSpinBox.value == 11
    parameters.disconnectGui(tag)
    ui.seedSpinBox.value = 12
    parameters.ratio = 0.5
    assert (parameters.seed, ui.ratioSlider.value) == (11, 0.75)


def test_fields_that_the_real_one_does_not_know_are_refused(host: Host) -> None:
    """Row: slicer.parameterNodeWrapper names: what is not in the observation is no type of a field here."""
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Fields:
        anything: object

    Fields.__annotations__ = {"anything": object}
    with pytest.raises(TypeError, match="Unable to create serializer"):
        parameterNodeWrapper(Fields)


# Modules


def test_a_module_is_opened_reloaded_and_closed(host: Host, demo: Path) -> None:
    """Loads a module of a few lines as Slicer does: panel, scene, reload, end."""
    import slicer

    widget = host.open(demo)
    assert widget.ui.inputSelector.mrmlScene() is host.scene
    assert slicer.util.modulePath("Demo") == str(demo)
    assert slicer.util.getModuleLogic("Demo") is widget.logic
    node = widget.logic.getParameterNode()
    assert widget.logic.getParameterNode() is node
    host.closeScene()
    reloaded = host.reload()
    assert reloaded is not widget
    assert widget.seen == ["enter", "closed", "cleanup"]
    assert slicer.modules.DemoWidget is reloaded


@pytest.mark.parametrize("anew", [True, False], ids=["imported anew", "reloaded"])
def test_the_library_is_as_before_when_the_window_is_closed(
    hostApplication: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    """A module first imported while the window was open does not keep the classes of that time."""
    import MAESILSlicerLib
    from hosting import opened
    from MAESILSlicerLib.scene import volumes

    for name in [name for name in sys.modules if name.startswith("MAESILSlicerLib.desktop")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(MAESILSlicerLib, "desktop", raising=False)
    raised = volumes.SceneError
    with opened(hostApplication, tmp_path) as host:
        if anew:
            host.importAnew()
        host.open()
        if not anew:
            host.reload()
        from MAESILSlicerLib.scene.volumes import SceneError

        assert SceneError is not raised
    assert sys.modules["MAESILSlicerLib.scene.volumes"] is volumes
    assert volumes.SceneError is raised
    stale = {
        f"{module.__name__}.{name}"
        for file, module in sys.modules.items()
        if file.startswith("MAESILSlicerLib.")
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__.startswith("MAESIL")
        if getattr(sys.modules.get(value.__module__), value.__name__, value) is not value
    }
    assert not stale


def test_the_window_can_be_looked_at(host: Host, demo: Path, tmp_path: Path, qt: ModuleType) -> None:
    """A picture of the window has the panel at the left and the views beside it."""
    host.open(demo)
    picture = qt.QImage(str(host.grab(tmp_path / "window.png")))
    colors = {
        picture.pixel(x, y) for x in range(0, picture.width(), 25) for y in range(0, picture.height(), 25)
    }
    assert picture.width() == host.window.width
    assert len(colors) > 10


def test_what_a_slot_raises_is_not_lost(host: Host, qt: ModuleType) -> None:
    """In Slicer it is printed to the console; here a test can see it."""
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert [type(failure) for failure in host.failures] == [ZeroDivisionError]
    host.failures.clear()


def test_the_product_never_imports_the_host(repository: Path) -> None:
    """The host is for tests alone."""
    for folder in ("MAESILCore", "MAESILSlicer"):
        for path in (repository / folder).rglob("*.py"):
            assert "Testing" not in path.read_text(encoding="utf-8").replace("isTesting", "").split(), path


def test_a_scene_is_saved_and_loaded(host: Host, tmp_path: Path) -> None:
    """`slicer.util.saveScene` and `loadScene`, through the scene's own bundles."""
    import slicer

    host.scene.AddNewNodeByClass("vtkMRMLTableNode", "kept")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    host.closeScene()
    assert not slicer.util.getNodesByClass("vtkMRMLTableNode")
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert slicer.util.getNode("kept").GetClassName() == "vtkMRMLTableNode"


def test_modules_of_the_host_are_gone_when_no_test_uses_it() -> None:
    """Other tests run without Qt and must not find it by accident."""
    assert not {"qt", "ctk", "slicer.i18n"} & set(sys.modules)
