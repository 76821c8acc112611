"""The results of a features job: vectors on their lattice, their colours, and the similarity to one place."""

from __future__ import annotations

import json

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from MAESILCore.data.volume import Volume
from MAESILCore.lattice import FeatureMap, as_triple, similarity
from MAESILCore.report.summary import DISCLAIMER
from MAESILSlicerLib.results.colors import showInColors
from MAESILSlicerLib.results.insertion import Insertion
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet, Role
from MAESILSlicerLib.results.wording import sentence
from MAESILSlicerLib.scene.nodes import inputOf, markNode
from MAESILSlicerLib.scene.transforms import linearTransformToWorld
from MAESILSlicerLib.scene.volumes import addVolume, geometryOf

#: From unlike to alike; dark where the features are unrelated, so that a view shows the scan below.
SIMILARITY_STOPS = ("#101418", "#123a63", "#1f9e89", "#b5de2b", "#fde725")

#: Attribute of the vectors: voxels of a box along k, j, i.
_STRIDE_ATTRIBUTE = "MAESIL.stride"
#: Attribute of the vectors: hash and level of the model, only equal ones can be compared.
_ENCODER_ATTRIBUTE = "MAESIL.encoder"

_ROLES = (
    # Red, green and blue of the first three principal components; black in air.
    Role("colours", "feature colours", sentence("features.colours"), "view", "#009E73"),
    # The vectors themselves, so that a saved scene can answer, too.
    Role("vectors", "features", sentence("features.vectors")),
    # Cosines to the vector of one place, added once a place is chosen.
    Role("similarity", "similarity", sentence("features.similarity"), "view", "#CC79A7", isOptional=True),
)


def _import(insertion: Insertion) -> None:
    """Import colours and vectors on the lattice, which has larger voxels than the input."""
    files, result = insertion.files, insertion.files.result
    lattice = np.asarray(result["lattice_to_ras"], dtype=np.float64)
    insertion.describe(
        f"Features of {insertion.inputNode.GetName()} by {result['model']}.",
        insertion.note,
        *result.get("notes", ()),
        DISCLAIMER,
    )
    insertion.volume("colours", files.array("colours"), lattice)
    vectors = insertion.volume("vectors", files.array("vectors"), lattice)
    vectors.SetAttribute(_STRIDE_ATTRIBUTE, json.dumps(result["stride_kji"]))
    vectors.SetAttribute(_ENCODER_ATTRIBUTE, result.get("encoder", ""))


def encoderOf(results: ResultSet) -> str:
    """What identifies the model and level of some features; "" if a scene of an earlier version does not tell."""
    return results.nodesByRole["vectors"].GetAttribute(_ENCODER_ATTRIBUTE) or ""


def strideOf(results: ResultSet) -> tuple[int, int, int]:
    """Voxels of a box of some features along k, j, i."""
    stride = json.loads(results.nodesByRole["vectors"].GetAttribute(_STRIDE_ATTRIBUTE))
    return as_triple(stride, "stride", 1)


class Likeness:
    """Answers where the features of a result agree with those of one place.

    Args:
        results: results of this kind. The vectors are copied once.
    """

    def __init__(self, results: ResultSet) -> None:
        self.results = results
        node = results.nodesByRole["vectors"]
        vectors = np.ascontiguousarray(np.moveaxis(_channelsOf(node), -1, 0), dtype=np.float32)
        # Boxes of air are black; those of the body are almost never.
        body = _channelsOf(results.nodesByRole["colours"]).any(axis=-1)
        self.map = FeatureMap(vectors, geometryOf(node), strideOf(results), body)

    def placeAt(self, world: tuple[float, float, float]) -> tuple[int, int, int] | None:
        """The box (k, j, i) at a point; None outside the lattice.

        Args:
            world: RAS of the scene, in mm, under the transform of the input.

        Raises:
            SceneError: the features are under a transform that is not linear.
        """
        toWorld = linearTransformToWorld(self.results.nodesByRole["vectors"])
        return self.map.place_at((np.linalg.inv(toWorld) @ [*world, 1.0])[:3])

    def show(self, world: tuple[float, float, float]) -> ResultSet | None:
        """Put the similarity to a point into the scene, in place of an earlier one; None outside the lattice.

        Args:
            world: as for `placeAt`.

        Returns:
            The results with the node of the role "similarity", in colours from 0 to 1.
        """
        place = self.placeAt(world)
        if place is None:
            return None
        values = similarity(self.map, place)
        node = self.results.nodesByRole.get("similarity")
        if node is None or node.GetScene() is None:
            node = self._add(values)
        else:
            slicer.util.updateVolumeFromArray(node, values)
        return self.results

    def _add(self, values: np.ndarray) -> slicer.vtkMRMLScalarVolumeNode:
        like = self.results.nodesByRole["colours"]
        scene, inputNode = like.GetScene(), inputOf(like)
        name = like.GetName().replace(_word("colours"), _word("similarity"))
        node = addVolume(scene, Volume(values, self.map.lattice_to_ras), name, like, autoWindow=False)
        markNode(node, "similarity", inputNode)
        node.SetDescription(self.results.description)
        showInColors(
            node, "similarity", SIMILARITY_STOPS, (0.0, 1.0), sentence("features.similarity"), digits=2
        )
        self.results = ResultSet(self.results.kind, {**self.results.nodesByRole, "similarity": node})
        self.results.link()
        return node


def _word(role: str) -> str:
    return next(one.word for one in _ROLES if one.name == role)


def _channelsOf(node: slicer.vtkMRMLVectorVolumeNode) -> np.ndarray:
    """A view of a vector volume, (k, j, i, C)."""
    image = node.GetImageData()
    shape = (*image.GetDimensions()[::-1], image.GetNumberOfScalarComponents())
    return np.asarray(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape))


KIND = ResultKind("features", _ROLES, "colours", _import, hasOwnSection=True)
