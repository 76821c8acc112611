"""The results of a reconstruction: volumes on the input's grid, scores, and a plot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import SuperpatchGrid
from MAESILCore.report.shading import nice_limit
from MAESILCore.report.summary import DISCLAIMER
from MAESILCore.wording import Sentence
from MAESILSlicerLib.results.colors import errorColors, showInColors, uncertaintyColors
from MAESILSlicerLib.results.insertion import Insertion
from MAESILSlicerLib.results.jobfiles import ResultsError
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet, Role
from MAESILSlicerLib.results.tables import addScoreChart, addScoreTable, addSuperpatchTable
from MAESILSlicerLib.scene.volumes import voxelsOf

#: Attribute of the masked volume: the number of masks of the reconstruction.
_COUNT_ATTRIBUTE = "MAESIL.masks"

_SCORES = Sentence("reconstruction.scores", "Scores of the whole volume")
_ROWS = Sentence("reconstruction.rows", "Scores of each superpatch; choose a row to go there")

_ROLES = (
    # The input; voxels hidden by the first mask are at the lower end of the model's window.
    Role("masked", "masked", "Masked", "view", "#E69F00", isLikeInput=True),
    # The model's prediction.
    Role("reconstruction", "reconstruction", "Reconstruction", "view", "#0072B2", isLikeInput=True),
    # The input in visible patches, the reconstruction in patches hidden by the first mask.
    Role("mosaic", "mosaic", "Mosaic", isLikeInput=True),
    # Reconstruction minus input in hidden voxels, HU.
    Role("error", "error", "Error", "view", "#D55E00"),
    # Standard deviation over the masks of a coverage, HU.
    Role("uncertainty", "uncertainty", "Uncertainty", isOptional=True),
    Role("metrics", "scores", _SCORES, "scores", isOptional=True),
    Role("superpatches", "superpatches", _ROWS, "rows"),
    Role("chart", "PSNR by superpatch", "PSNR by superpatch", "plot"),
)

_FILE_TITLES = {
    "reconstruction.nii.gz": "Reconstruction",
    "mosaic.nii.gz": "Mosaic",
    "error.nii.gz": "Error, HU",
    "uncertainty.nii.gz": "Uncertainty, HU",
    "mask.nii.gz": "Mask, by voxel",
    "mask_lattice.nii.gz": "Mask, by patch",
    "metrics.json": "Scores",
    "report.png": "Report",
}

#: Roles and files that show one mask: the first of a coverage.
_OF_ONE_MASK = {"masked", "mosaic", "mosaic.nii.gz", "mask.nii.gz", "mask_lattice.nii.gz"}


def maskCount(results: ResultSet) -> int:
    """The number of masks of a reconstruction."""
    return int(results.nodesByRole["masked"].GetAttribute(_COUNT_ATTRIBUTE) or 1)


def _noteOn(results: ResultSet, what: str) -> str:
    return _noteOnMask(maskCount(results)) if what in _OF_ONE_MASK else ""


def _noteOnMask(count: int) -> str:
    return "" if count == 1 else f"(mask 1 of {count})"


def _import(insertion: Insertion) -> None:
    """Import volumes as int16 HU if the input is int16, else as float32."""
    result = insertion.files.result
    count = int(result.get("masks", 1))
    insertion.chooseNames({role: f"{role} {_noteOnMask(count)}".strip() for role in ("masked", "mosaic")})
    insertion.describe(
        f"{insertion.inputNode.GetName()}, filled in by {result['model']}.",
        insertion.note,
        *result.get("notes", ()),
        DISCLAIMER,
    )
    volumes = {
        role: insertion.volume(role, voxels, autoWindow=False) for role, voxels in _Voxels(insertion).all()
    }
    volumes["masked"].SetAttribute(_COUNT_ATTRIBUTE, str(count))
    _showMaps(insertion.scene, volumes["error"], volumes.get("uncertainty"))
    _addTables(insertion)


class _Voxels:
    """The volumes of a job, converted to the voxel type of the scene."""

    def __init__(self, insertion: Insertion) -> None:
        self._files, self._name = insertion.files, insertion.inputNode.GetName()
        voxels = voxelsOf(insertion.inputNode)
        low, high = insertion.inputNode.GetImageData().GetScalarRange()
        self._shape = voxels.shape
        self._isWhole = voxels.dtype.kind in "biu" and low >= -(2**15) and high < 2**15

    def all(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield role and voxels one at a time, so that only one copy exists besides the scene's."""
        mosaic = self._stored("mosaic")
        yield "masked", self._masked(mosaic)
        yield "mosaic", mosaic
        del mosaic
        for role in ("reconstruction", "error", "uncertainty"):
            if role != "uncertainty" or self._files.has("uncertainty.npy"):
                yield role, self._stored(role)

    def _stored(self, name: str) -> np.ndarray:
        values = self._files.array(name)
        if values.shape != self._shape:
            message = Sentence(
                "reconstruction.other-size",
                '"{volume}" has got another size since its reconstruction was started; reconstruct it again.',
                volume=self._name,
            )
            raise ResultsError(message)
        if not self._isWhole:
            return np.asarray(values, dtype=np.float32)
        limits = np.iinfo(np.int16)
        rounded = np.empty(values.shape, dtype=np.int16)
        for target, plane in zip(rounded, values, strict=True):
            target[...] = np.clip(np.rint(plane), limits.min, limits.max)
        return rounded

    def _masked(self, mosaic: np.ndarray) -> np.ndarray:
        patchSize = self._files.result["patch_size_kji"]
        grid = SuperpatchGrid(self._shape, patchSize, patchSize)
        try:
            isHidden = grid.expand(self._files.array("mask") != 0)
        except ConfigError as error:
            message = Sentence(
                "reconstruction.other-mask",
                "The mask of this reconstruction does not fit the volume; reconstruct again.",
            )
            raise ResultsError(message) from error
        return np.where(isHidden, mosaic.dtype.type(self._files.result["window_hu"][0]), mosaic)


def _showMaps(
    scene: slicer.vtkMRMLScene,
    error: slicer.vtkMRMLScalarVolumeNode,
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None,
) -> None:
    limit = nice_limit(voxelsOf(error))
    showInColors(error, errorColors(scene), (-limit, limit), "Error (HU)")
    if uncertainty is not None:
        limit = nice_limit(voxelsOf(uncertainty))
        showInColors(uncertainty, uncertaintyColors(scene), (0.0, limit), "Uncertainty (HU)")


def _addTables(insertion: Insertion) -> None:
    scene, files, names = insertion.scene, insertion.files, insertion.names
    if files.has("metrics.json"):
        insertion.add("metrics", addScoreTable(scene, names["metrics"], files.json("metrics.json")))
    table = addSuperpatchTable(scene, names["superpatches"], files.json("superpatches.json"))
    insertion.add("superpatches", table)
    insertion.add("chart", addScoreChart(scene, names["chart"], table))


KIND = ResultKind("reconstruction", _ROLES, "reconstruction", _import, _FILE_TITLES, _noteOn)
