"""Nodes that MAESIL made are found again, and leave nothing behind when they go."""

from __future__ import annotations

from pathlib import Path

import slicer

from MAESILSlicerLib.scene.nodes import (
    findNodes,
    hierarchyItemOf,
    inputOf,
    markNode,
    removeNode,
    removeNodes,
    roleOf,
)
from volumes import MakeVolume


def nodeIds(scene: slicer.vtkMRMLScene) -> set[str]:
    return {node.GetID() for node in scene.GetNodes()}


def test_a_marked_node_is_found_by_its_role_and_by_its_input(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    first, second = makeVolume(name="first"), makeVolume(name="second")
    ofFirst, ofSecond, ofNone = (scene.AddNewNodeByClass("vtkMRMLTableNode") for _ in range(3))
    markNode(ofFirst, "metrics", first)
    markNode(ofSecond, "metrics", second)
    markNode(ofNone, "metrics")
    assert findNodes(scene, "metrics") == [ofFirst, ofSecond, ofNone]
    assert findNodes(scene, "metrics", second) == [ofSecond]
    assert findNodes(scene, "other") == []
    assert (roleOf(ofFirst), inputOf(ofFirst)) == ("metrics", first)
    assert (roleOf(first), inputOf(ofNone)) == (None, None)


def test_a_node_marked_again_serves_its_new_role_alone(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode")
    markNode(node, "metrics", makeVolume())
    markNode(node, "superpatches")
    assert findNodes(scene, "metrics") == []
    assert findNodes(scene, "superpatches") == [node]
    assert inputOf(node) is None


def test_a_node_whose_input_was_deleted_is_found_without_it(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume()
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    markNode(table, "metrics", volume)
    scene.RemoveNode(volume)
    assert findNodes(scene, "metrics") == [table]
    assert inputOf(table) is None


def test_marks_and_inputs_survive_saving_loading_and_the_change_of_ids_at_import(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    volume = makeVolume(name="kept")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "scores")
    markNode(table, "metrics", volume)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()
    # What is there already keeps its ids, so that the second pair gets new ones.
    assert scene.Import()
    old, new = findNodes(scene, "metrics")
    assert old is table
    assert inputOf(old) is volume
    assert new.GetID() != old.GetID()
    assert inputOf(new).GetName() == "kept"
    assert inputOf(new) is not volume


def test_a_removed_volume_leaves_no_display_storage_or_hierarchy_item(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    before = nodeIds(scene)
    volume = makeVolume()
    volume.AddDefaultStorageNode()
    hierarchy = scene.GetSubjectHierarchyNode()
    hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    assert len(nodeIds(scene) - before) == 3
    removeNode(volume)
    assert nodeIds(scene) == before
    assert hierarchyItemOf(scene, volume)[1] == 0


def test_a_removed_volume_takes_its_parts_along_without_an_application_around_it() -> None:
    bare = slicer.vtkMRMLScene()
    before = nodeIds(bare)
    volume = bare.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    volume.CreateDefaultDisplayNodes()
    volume.AddDefaultStorageNode()
    hierarchyId = bare.GetSubjectHierarchyNode().GetID()
    assert len(nodeIds(bare) - before - {hierarchyId}) == 3
    removeNode(volume)
    assert nodeIds(bare) - {hierarchyId} == before


def test_removing_nothing_or_what_is_gone_is_no_error(scene: slicer.vtkMRMLScene) -> None:
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    before = nodeIds(scene) - {table.GetID()}
    removeNode(table)
    removeNode(table)
    removeNode(None)
    assert nodeIds(scene) == before


def test_removing_a_role_spares_other_roles_and_other_inputs(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    first, second = makeVolume(), makeVolume()
    kept = [scene.AddNewNodeByClass("vtkMRMLTableNode") for _ in range(2)]
    gone = scene.AddNewNodeByClass("vtkMRMLTableNode")
    markNode(kept[0], "metrics", second)
    markNode(kept[1], "superpatches", first)
    markNode(gone, "metrics", first)
    removeNodes(scene, "metrics", first)
    assert gone.GetScene() is None
    assert [node.GetScene() for node in kept] == [scene, scene]
    removeNodes(scene, "metrics")
    assert [node.GetScene() for node in kept] == [None, scene]
