"""What a finished job brings into a scene: nodes by role, made by the one importer of its kind: all of them, or none.

`session.tasks` imports, the comparison and both faces show, and none of them knows the kinds. A new kind is one
module with a `ResultKind`, named in `_BUILT_IN` or by an entry point of the group `GROUP` under the name of its kind of
job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import slicer

from MAESILCore.wording import Sentence, joined
from MAESILSlicerLib.results.jobfiles import JobFiles, ResultsError
from MAESILSlicerLib.scene.nodes import hierarchyItemOf, inputOf, removeNode, roleOf
from MAESILSlicerLib.scene.transaction import allOrNothing

if TYPE_CHECKING:
    from MAESILSlicerLib.results.insertion import Insertion

#: The group of entry points by which other packages add kinds of results.
GROUP = "maesil.results"
_BUILT_IN = {"reconstruction": "MAESILSlicerLib.results.reconstruction"}

#: Scenes of MAESIL 0.1.0 name no kinds: all results were of this one.
FIRST_KIND = "reconstruction"

_KIND_ATTRIBUTE = "MAESIL.kind"
#: The main node of a result set refers to all of them by this and their role.
_FELLOW_REFERENCE = "MAESIL.result."


class Role(NamedTuple):
    """What one node of a result set is for.

    Attributes:
        name: also the role that is noted on the node.
        word: the node is named after its input and this.
        title: for people, where the node is shown; a `Sentence` can be worded in their language.
        place: where faces show the node: "view", a view of the comparison; "scores", the table of the whole; "rows",
            the table with one row a superpatch; "plot", the chart; "" nowhere by themselves. Each of the last three
            has one role at most.
        color: of the bar of its view.
        isOptional: whether a result set is complete without it.
        isLikeInput: whether it is shown in the window of its input.
    """

    name: str
    word: str
    title: str = ""
    place: Literal["", "view", "scores", "rows", "plot"] = ""
    color: str = "#8C8C8C"
    isOptional: bool = False
    isLikeInput: bool = False


def _noNote(_results: ResultSet, _what: str) -> str:
    return ""


@dataclass(frozen=True)
class ResultKind:
    """What one kind of job makes.

    Attributes:
        name: of the kind of job.
        roles: in the order in which people look at them.
        main: the role whose node refers to all others; not an optional one.
        importJob: adds the nodes of a finished job; errors and half-made nodes are taken care of by the caller.
        fileTitles: titles, for people, of the files that such a job may write for other programs.
        noteOn: is given results and a role or file name; words that follow its title, such as "(mask 1 of 4)", or "".
    """

    name: str
    roles: tuple[Role, ...]
    main: str
    importJob: Callable[[Insertion], None]
    fileTitles: Mapping[str, str] = field(default_factory=dict)
    noteOn: Callable[[ResultSet, str], str] = _noNote

    def role(self, name: str) -> Role | None:
        """The role of this name, if the kind has it."""
        return next((role for role in self.roles if role.name == name), None)


def resultKind(name: str) -> ResultKind | None:
    """The results of a kind of job; None if it brings none into a scene."""
    if name in _BUILT_IN:
        kind: ResultKind = import_module(_BUILT_IN[name]).KIND
        return kind
    for entry in entry_points(group=GROUP, name=name):
        found: ResultKind = entry.load()
        return found
    return None


@dataclass(frozen=True)
class ResultSet:
    """The results of one job in a scene.

    The node of a role is also an attribute: `results.error` is the node of the role "error", or None where an optional
    one was not made.

    Attributes:
        kind: of the job.
        nodesByRole: those that there are, in the order of the kind's roles.
    """

    kind: ResultKind
    nodesByRole: Mapping[str, slicer.vtkMRMLNode]

    def __post_init__(self) -> None:
        """Sort the nodes, and keep callers from changing them."""
        known = {role.name: self.nodesByRole.get(role.name) for role in self.kind.roles}
        nodes = {name: node for name, node in known.items() if node is not None}
        object.__setattr__(self, "nodesByRole", MappingProxyType(nodes))

    def __getattr__(self, name: str) -> slicer.vtkMRMLNode | None:
        """The node of a role."""
        if name.startswith("_") or self.kind.role(name) is None:
            raise AttributeError(name)
        return self.nodesByRole.get(name)

    @property
    def main(self) -> slicer.vtkMRMLNode:
        """The node of the kind's main role, which refers to all others."""
        return self.nodesByRole[self.kind.main]

    @property
    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """All nodes."""
        return list(self.nodesByRole.values())

    @property
    def series(self) -> list[slicer.vtkMRMLPlotSeriesNode]:
        """What the charts among the nodes plot."""
        charts = [node for node in self.nodes if node.IsA("vtkMRMLPlotChartNode")]
        return [
            chart.GetNthPlotSeriesNode(index)
            for chart in charts
            for index in range(chart.GetNumberOfPlotSeriesNodes())
        ]

    @property
    def description(self) -> str:
        """What the results are, in sentences for people."""
        return self.main.GetDescription() or ""

    def at(self, place: str) -> dict[Role, slicer.vtkMRMLNode]:
        """The roles with this place that are there, and their nodes."""
        shown = [role for role in self.kind.roles if role.place == place and role.name in self.nodesByRole]
        return {role: self.nodesByRole[role.name] for role in shown}

    def oneAt(self, place: str) -> slicer.vtkMRMLNode | None:
        """The node at a place that has one role at most."""
        return next(iter(self.at(place).values()), None)

    def caption(self, title: str, what: str) -> str:
        """A title with what is to be noted on a role or file."""
        note = self.kind.noteOn(self, what)
        return joined(title, note) if note else title

    def note(self) -> None:
        """Note on the nodes what belongs together, for `allResults`."""
        for name, node in self.nodesByRole.items():
            node.SetAttribute(_KIND_ATTRIBUTE, self.kind.name)
            self.main.SetNodeReferenceID(_FELLOW_REFERENCE + name, node.GetID())


def importResults(
    scene: slicer.vtkMRMLScene,
    inputNode: slicer.vtkMRMLScalarVolumeNode | None,
    folder: Path,
    note: str = "",
) -> ResultSet | None:
    """Put what a finished job has made into the scene, named after its input and beside it.

    The views keep what they show.

    Args:
        scene: where to.
        inputNode: the volume that the job was about.
        folder: the job's.
        note: a sentence that is to be read beside those of the job.

    Returns:
        The results; None if jobs of this kind bring none into a scene.

    Raises:
        MaesilError: the results do not fit the volume as it is now, are damaged, or need more memory than there is.
            The scene is then as it was.
    """
    from MAESILSlicerLib.results.insertion import Insertion

    files = JobFiles(folder)
    kind = resultKind(files.kind)
    if kind is None:
        return None
    if inputNode is None or inputNode.GetScene() is not scene:
        message = Sentence(
            "results.no-volume",
            "The volume of this {job} is no longer in the scene; its results cannot be shown.",
            job=kind.name,
        )
        raise ResultsError(message)
    with allOrNothing(scene):
        try:
            insertion = Insertion(scene, kind, inputNode, files, note)
            kind.importJob(insertion)
            return insertion.finish()
        except MemoryError as error:
            message = Sentence(
                "results.no-memory",
                "There is not enough memory to show the results; close other volumes and try again.",
            )
            raise ResultsError(message) from error


def allResults(scene: slicer.vtkMRMLScene, inputNode: slicer.vtkMRMLNode | None = None) -> list[ResultSet]:
    """The results in a scene that are still complete, oldest first; with `inputNode` only those of that volume.

    They are also found after the scene was saved and loaded.
    """
    found = []
    for node in scene.GetNodes():
        kind = kindOf(node)
        if kind is None or roleOf(node) != kind.main:
            continue
        nodes = {role.name: node.GetNodeReference(_FELLOW_REFERENCE + role.name) for role in kind.roles}
        isComplete = all(nodes[role.name] is not None for role in kind.roles if not role.isOptional)
        if isComplete and (inputNode is None or inputOf(node) is inputNode):
            found.append(ResultSet(kind, nodes))
    return found


def kindOf(node: slicer.vtkMRMLNode) -> ResultKind | None:
    """The kind of results to which a node belongs; None if to none that is known here."""
    role = roleOf(node)
    if role is None:
        return None
    kind = resultKind(node.GetAttribute(_KIND_ATTRIBUTE) or FIRST_KIND)
    return kind if kind is not None and kind.role(role) is not None else None


def removeResults(results: ResultSet) -> None:
    """Take the results of one job out of their scene: nodes, what serves them alone, and their folder."""
    scene = results.main.GetScene()
    if scene is None:
        return
    hierarchy, item = hierarchyItemOf(scene, results.main)
    folder = hierarchy.GetItemParent(item) if item else 0
    for node in (*results.series, *results.nodes):
        removeNode(node)
    if folder and folder != hierarchy.GetSceneItemID() and hierarchy.GetNumberOfItemChildren(folder) == 0:
        hierarchy.RemoveItem(folder, False, False)
