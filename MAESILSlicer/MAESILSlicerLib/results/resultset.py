"""The results of a job in a scene: nodes by role, created all or none by the importer of their kind.

The comparison and both faces depend on no kind. To add a kind, write a module with a `ResultKind` and register it in
`KINDS`, or as an entry point of its group named after the kind of job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import slicer

from MAESILCore.plugins import Plugins
from MAESILCore.wording import joined
from MAESILSlicerLib.results.jobfiles import JobFiles, ResultsError
from MAESILSlicerLib.results.wording import sentence
from MAESILSlicerLib.scene.nodes import hierarchyItemOf, inputOf, removeNode, roleOf
from MAESILSlicerLib.scene.transaction import allOrNothing

if TYPE_CHECKING:
    from MAESILSlicerLib.results.insertion import Insertion

#: The kind of results in scenes of MAESIL 0.1.0, which store none.
FIRST_KIND = "reconstruction"

_KIND_ATTRIBUTE = "MAESIL.kind"
#: Prefix of the main node's references to all nodes of its result set; the role follows.
_NODE_REFERENCE = "MAESIL.result."


class Role(NamedTuple):
    """The purpose of one node of a result set.

    Attributes:
        name: the role, as stored on the node.
        word: suffix of the node's name after the input's name.
        title: display name; a `Sentence` can be translated.
        place: where faces show the node: "view", a view of the comparison; "scores", the table of the whole volume;
            "rows", the table with one row per superpatch; "plot", the chart; "", nowhere. At most one role has each of
            "scores", "rows" and "plot".
        color: colour of the bar of its view.
        isOptional: whether a result set is complete without the node.
        isLikeInput: whether the node is shown in the window of its input.
    """

    name: str
    word: str
    title: str = ""
    place: Literal["", "view", "scores", "rows", "plot"] = ""
    color: str = "#8C8C8C"
    isOptional: bool = False
    isLikeInput: bool = False


@dataclass(frozen=True)
class ResultKind:
    """The results of one kind of job.

    Attributes:
        name: name of the kind of job.
        roles: the roles in display order.
        main: the role whose node refers to all others; never optional.
        importJob: adds the nodes of a finished job; the caller handles errors and rolls back.
        fileTitles: display names of the files that the job may export.
        noteOn: called with results and a role or file name; returns a suffix of its title, such as "(mask 1 of 4)",
            or "".
        titleOf: called with results and a role or file name; returns another title than the usual one, or "".
        hasOwnSection: whether faces show the results over the slices, in a section of the kind, and not compare them in
            the section of results.
    """

    name: str
    roles: tuple[Role, ...]
    main: str
    importJob: Callable[[Insertion], None]
    fileTitles: Mapping[str, str] = field(default_factory=dict)
    noteOn: Callable[[ResultSet, str], str] = lambda _results, _what: ""
    titleOf: Callable[[ResultSet, str], str] = lambda _results, _what: ""
    hasOwnSection: bool = False

    def role(self, name: str) -> Role | None:
        """The role of this name; None if the kind has no such role."""
        return next((role for role in self.roles if role.name == name), None)


#: All result kinds by kind of job: built-in ones and those of installed packages.
KINDS: Mapping[str, ResultKind] = Plugins(
    "maesil.results",
    {
        "features": "MAESILSlicerLib.results.features:KIND",
        "reconstruction": "MAESILSlicerLib.results.reconstruction:KIND",
        "segmentation": "MAESILSlicerLib.results.segmentation:KIND",
    },
)


@dataclass(frozen=True)
class ResultSet:
    """The results of one job in a scene.

    The node of a role is also an attribute: `results.error` is the node of the role "error"; None if an optional node
    is absent.

    Attributes:
        kind: the kind of result.
        nodesByRole: the existing nodes, in the order of the kind's roles.
    """

    kind: ResultKind
    nodesByRole: Mapping[str, slicer.vtkMRMLNode]

    def __post_init__(self) -> None:
        """Sort the nodes and make the mapping read-only."""
        nodes = {role.name: self.nodesByRole.get(role.name) for role in self.kind.roles}
        nodes = {name: node for name, node in nodes.items() if node is not None}
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
        """The plot series of the charts among the nodes."""
        charts = [node for node in self.nodes if node.IsA("vtkMRMLPlotChartNode")]
        return [
            chart.GetNthPlotSeriesNode(index)
            for chart in charts
            for index in range(chart.GetNumberOfPlotSeriesNodes())
        ]

    @property
    def description(self) -> str:
        """The description of the results, in sentences."""
        return self.main.GetDescription() or ""

    def at(self, place: str) -> dict[Role, slicer.vtkMRMLNode]:
        """The existing nodes at this place, by role."""
        shown = [role for role in self.kind.roles if role.place == place and role.name in self.nodesByRole]
        return {role: self.nodesByRole[role.name] for role in shown}

    def oneAt(self, place: str) -> slicer.vtkMRMLNode | None:
        """The node at a place with at most one role."""
        return next(iter(self.at(place).values()), None)

    def caption(self, title: str, what: str) -> str:
        """The title of a role or file in these results: the usual one, or another one, with the kind's note."""
        title, note = self.kind.titleOf(self, what) or title, self.kind.noteOn(self, what)
        return joined(title, note) if note else title

    def link(self) -> None:
        """Link the nodes in the scene, so that `allResults` finds them."""
        for name, node in self.nodesByRole.items():
            node.SetAttribute(_KIND_ATTRIBUTE, self.kind.name)
            self.main.SetNodeReferenceID(_NODE_REFERENCE + name, node.GetID())


def importResults(
    scene: slicer.vtkMRMLScene,
    inputNode: slicer.vtkMRMLScalarVolumeNode | None,
    folder: Path,
    note: str = "",
) -> ResultSet | None:
    """Import the results of a finished job into the scene, named after its input and beside it.

    The views do not change.

    Args:
        scene: the scene that receives the results.
        inputNode: the job's input volume.
        folder: the job's folder.
        note: a sentence to add to the description.

    Returns:
        The results; None if jobs of this kind have none in a scene.

    Raises:
        MaesilError: the results are damaged, do not fit the current volume, or need too much memory. The scene is
            then unchanged.
    """
    from MAESILSlicerLib.results.insertion import Insertion

    files = JobFiles(folder)
    kind = KINDS.get(files.kind)
    if kind is None:
        return None
    if inputNode is None or inputNode.GetScene() is not scene:
        raise ResultsError(sentence("results.no-volume", job=kind.name))
    with allOrNothing(scene):
        try:
            insertion = Insertion(scene, kind, inputNode, files, note)
            kind.importJob(insertion)
            return insertion.finish()
        except MemoryError as error:
            raise ResultsError(sentence("results.no-memory")) from error


def allResults(scene: slicer.vtkMRMLScene, inputNode: slicer.vtkMRMLNode | None = None) -> list[ResultSet]:
    """The complete results of all kinds in a scene, oldest first; with `inputNode`, only those of that volume.

    Saving and loading the scene keeps them.
    """
    found = []
    for node in scene.GetNodes():
        kind = kindOf(node)
        if kind is None or roleOf(node) != kind.main:
            continue
        nodes = {role.name: node.GetNodeReference(_NODE_REFERENCE + role.name) for role in kind.roles}
        isComplete = all(nodes[role.name] is not None for role in kind.roles if not role.isOptional)
        if isComplete and (inputNode is None or inputOf(node) is inputNode):
            found.append(ResultSet(kind, nodes))
    return found


def kindOf(node: slicer.vtkMRMLNode) -> ResultKind | None:
    """The result kind of a node; None if it has none or an unknown one."""
    role = roleOf(node)
    if role is None:
        return None
    kind = KINDS.get(node.GetAttribute(_KIND_ATTRIBUTE) or FIRST_KIND)
    return kind if kind is not None and kind.role(role) is not None else None


def removeResults(results: ResultSet) -> None:
    """Remove the results of one job from their scene: nodes, helper nodes that only they use, and their folder."""
    scene = results.main.GetScene()
    if scene is None:
        return
    hierarchy, item = hierarchyItemOf(scene, results.main)
    folder = hierarchy.GetItemParent(item) if item else 0
    for node in (*results.series, *results.nodes):
        removeNode(node)
    if folder and folder != hierarchy.GetSceneItemID() and hierarchy.GetNumberOfItemChildren(folder) == 0:
        hierarchy.RemoveItem(folder, False, False)
