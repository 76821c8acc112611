"""What the sources ask of widgets exists in the real application, and sources and `.ui` files name the same things."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "MAESILSlicer"
LIBRARY = MODULE / "MAESILSlicerLib"
UIS = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
WINDOW_SOURCES = sorted([MODULE / "MAESILSlicer.py", *(LIBRARY / "desktop").glob("*.py")])
OTHER_SOURCES = sorted(path for path in LIBRARY.rglob("*.py") if path not in WINDOW_SOURCES)
API: dict[str, Any] = json.loads((REPOSITORY / "Testing" / "Host" / "api.json").read_text(encoding="utf-8"))

#: Loaded when work starts, not when Slicer opens the module.
HEAVY = {
    "lightning_fabric", "matplotlib", "monai", "nibabel", "pandas", "psutil", "pydantic", "safetensors", "scipy",
    "SimpleITK", "skimage", "torch", "zarr",
}  # fmt: skip


@cache
def widgetClasses() -> dict[str, str]:
    """Name of each widget of the `.ui` files, and its class."""
    return {widget.get("name", ""): widget.get("class", "") for widget in partsOf("widget")}


def partsOf(tag: str) -> list[ElementTree.Element]:
    """All elements with a tag in the `.ui` files."""
    return [part for path in UIS for part in ElementTree.parse(path).iter(tag)]


def propertiesOf(kind: str) -> set[str]:
    return (
        set(API["QWidget"]["properties"]) | set(API["classes"][kind]["properties"]) | {"name", "objectName"}
    )


def signalsOf(kind: str) -> set[str]:
    return set(API["classes"][kind]["signals"])


def namesOf(kind: str) -> set[str]:
    """Everything that a widget of this class answers to."""
    signals = {signature.partition("(")[0] for signature in signalsOf(kind)}
    methods = {*API["QObject"], *API["QWidget"]["methods"], *API["classes"][kind]["methods"]}
    return propertiesOf(kind) | signals | methods


class Uses(ast.NodeVisitor):
    """The widgets of the window that a source speaks of, and what it does with them.

    Attributes:
        unknown: names of widgets that the `.ui` files lack.
        attributes: (line, class, attribute, whether it is called).
        connections: (line, class, signature).
    """

    def __init__(self) -> None:
        self.unknown: list[tuple[int, str]] = []
        self.attributes: list[tuple[int, str, str, bool]] = []
        self.connections: list[tuple[int, str, str]] = []
        self._local: dict[str, set[str]] = {}
        self._members: dict[str, set[str]] = {}

    def classesOf(self, node: ast.AST) -> set[str]:
        """The classes of the widget that an expression is; none if it is no widget."""
        if isinstance(node, ast.Attribute) and isWindow(node.value):
            return {widgetClasses()[node.attr]} if node.attr in widgetClasses() else set()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._members.get(node.attr, set())
        return self._local.get(node.id, set()) if isinstance(node, ast.Name) else set()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A widget kept as a member is known in all methods."""
        self._members = {}
        for part in ast.walk(node):
            for target, value in assigned(part):
                if isinstance(target, ast.Attribute) and self.classesOf(value):
                    self._members[target.attr] = self.classesOf(value)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        kinds = {arg.arg: ast.unparse(arg.annotation or ast.Constant("")) for arg in node.args.args}
        self._local = {name: {kind.rpartition(".")[2]} & set(API["classes"]) for name, kind in kinds.items()}
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target, value in assigned(node):
            if isinstance(target, ast.Name):
                self._local[target.id] = self.classesOf(value)

    def visit_For(self, node: ast.For) -> None:
        """The variables of a loop over widgets may be any of them."""
        inside = set().union(*(self.classesOf(part) for part in ast.walk(node.iter)))
        for name in (part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)):
            self._local[name] = inside
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute, isCalled: bool = False) -> None:
        if isWindow(node.value) and node.attr not in widgetClasses():
            self.unknown.append((node.lineno, node.attr))
        for kind in self.classesOf(node.value):
            self.attributes.append((node.lineno, kind, node.attr, isCalled))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.visit_Attribute(node.func, isCalled=True)
            if node.func.attr in ("connect", "disconnect"):
                self._noteConnection(node)
        for part in (*node.args, *node.keywords):
            self.visit(part)

    def _noteConnection(self, call: ast.Call) -> None:
        signatures = [
            arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        widgets = [call.args[0], call.func.value] if call.args else []
        for kind in set().union(*(self.classesOf(widget) for widget in widgets)):
            self.connections += [(call.lineno, kind, signature) for signature in signatures]


def assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets of an assignment, each with its value."""
    for target in node.targets if isinstance(node, ast.Assign) else ():
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=True)
        else:
            yield target, node.value


def isWindow(node: ast.AST) -> bool:
    """Whether an expression is the object that holds the widgets by name."""
    return getattr(node, "attr", getattr(node, "id", "")) in ("ui", "_ui")


def usesOf(text: str) -> Uses:
    uses = Uses()
    uses.visit(ast.parse(text))
    return uses


@cache
def usesIn(path: Path) -> Uses:
    return usesOf(path.read_text(encoding="utf-8"))


def problemsOf(uses: Uses) -> list[str]:
    """What would fail in the real application."""
    asked = uses.attributes
    return [
        *(f"line {line}: there is no widget {name}" for line, name in uses.unknown),
        *(f"line {line}: no {name} in {kind}" for line, kind, name, _ in asked if name not in namesOf(kind)),
        *(
            f"line {line}: {name} is a property of {kind} and cannot be called"
            for line, kind, name, isCalled in asked
            if isCalled and name in propertiesOf(kind)
        ),
        *(
            f"line {line}: no signal {one} in {kind}"
            for line, kind, one in uses.connections
            if one not in signalsOf(kind)
        ),
    ]


def fileScope(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements that run when a file is loaded, those for type checkers aside."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.stmt) and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
            yield from fileScope(node)


def importedIn(nodes: Iterator[ast.AST]) -> set[str]:
    """The packages that statements import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.partition(".")[0] for name in names} | names


def test_the_window_is_found_in_the_sources() -> None:
    uses = [usesIn(path) for path in WINDOW_SOURCES]
    assert sum(len(use.attributes) for use in uses) > 50
    assert sum(len(use.connections) for use in uses) > 10


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("self.ui.noSuchSlider.value = 1", "there is no widget noSuchSlider"),
        ("self.ui.opacitySlider.value()", "value is a property of ctkSliderWidget"),
        ("slider = ui.opacitySlider\nslider.setRange(0, 1)", "no setRange in ctkSliderWidget"),
        ("self.ui.opacitySlider.note = 1", "no note in ctkSliderWidget"),
        ("for box in (ui.gridCheckBox, ui.mask2dCheckBox): box.isOn()", "no isOn in QCheckBox"),
        ("ui.redrawButton.connect('clicked(int)', slot)", r"no signal clicked\(int\) in QPushButton"),
        ("connections.connect(ui.volumeSelector, 'valueChanged()', slot)", "no signal valueChanged"),
        ("def show(view: slicer.qMRMLTableView): view.setNode(None)", "no setNode in qMRMLTableView"),
        (
            "class Row:\n def __init__(self): self.a = ui.statusLabel\n def b(self): self.a.text()",
            "text is a property",
        ),
    ],
)
def test_the_check_finds_what_would_fail(source: str, problem: str) -> None:
    problems = problemsOf(usesOf(source))
    assert len(problems) == 1
    assert re.search(problem, problems[0])


@pytest.mark.parametrize("source", WINDOW_SOURCES, ids=lambda path: path.name)
def test_a_source_asks_of_widgets_only_what_they_have(source: Path) -> None:
    assert not problemsOf(usesIn(source))


def test_no_two_widgets_have_the_same_name() -> None:
    """All files fill one window, in which a name finds one widget."""
    assert len(UIS) == 10
    assert len(widgetClasses()) == len(partsOf("widget"))


def test_every_widget_of_the_ui_file_is_of_a_class_known_from_the_real_application() -> None:
    assert set(widgetClasses().values()) <= set(API["classes"])


def test_every_property_in_the_ui_file_is_one_of_its_widget() -> None:
    wrong = [
        (widget.get("name"), entry.get("name"))
        for widget in partsOf("widget")
        for entry in widget.findall("property")
        if entry.get("stdset") != "0"
        and entry.get("name") not in propertiesOf(widget.get("class", "")) | {"buddy"}
    ]
    assert not wrong


def test_every_binding_of_the_ui_file_is_a_field_of_the_parameter_node() -> None:
    bound = [
        entry.findtext("string")
        for entry in partsOf("property")
        if entry.get("name") == "SlicerParameterName"
    ]
    fields = {
        field.target.id
        for path in WINDOW_SOURCES
        for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(kind, ast.ClassDef) and "parameterNodeWrapper" in map(ast.unparse, kind.decorator_list)
        for field in kind.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    assert bound
    assert len(set(bound)) == len(bound), "two widgets for one field"
    assert set(bound) <= fields


@pytest.mark.parametrize("path", OTHER_SOURCES, ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_qt_is_imported_by_the_desktop_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not importedIn(ast.walk(tree)) & {"qt", "ctk", "PySide6", "PyQt5"}


@pytest.mark.parametrize("path", [*WINDOW_SOURCES, *OTHER_SOURCES], ids=lambda path: path.name)
def test_nothing_heavy_is_imported_when_a_file_is_loaded(path: Path) -> None:
    if "web" in path.relative_to(MODULE).parts:
        return
    imported = importedIn(fileScope(ast.parse(path.read_text(encoding="utf-8"))))
    assert not imported & (
        HEAVY | {"MAESILCore.inference", "MAESILCore.models.checkpoint", "MAESILCore.scoring.metrics"}
    )


def test_what_slicer_loads_at_its_start_imports_slicer_and_the_standard_library_alone() -> None:
    tree = ast.parse((MODULE / "MAESILSlicer.py").read_text(encoding="utf-8"))
    imported = {name.partition(".")[0] for name in importedIn(fileScope(tree))}
    assert imported <= {"__future__", "slicer", *sys.stdlib_module_names}
