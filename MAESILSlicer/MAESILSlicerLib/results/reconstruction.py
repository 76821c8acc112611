"""The results of a reconstruction: volumes on the input's grid, scores, and a plot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from MAESILCore.data.formats.voxeltypes import fits_int16, rounded
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import SuperpatchGrid
from MAESILCore.report.shading import ERROR_STOPS, UNCERTAINTY_STOPS, nice_limit
from MAESILCore.report.summary import DISCLAIMER
from MAESILSlicerLib.results.colors import showInColors
from MAESILSlicerLib.results.insertion import Insertion
from MAESILSlicerLib.results.jobfiles import JobFiles, ResultsError
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet, Role
from MAESILSlicerLib.results.tables import addScoreChart, addScoreTable, addSuperpatchTable, titleWithUnit
from MAESILSlicerLib.results.wording import sentence
from MAESILSlicerLib.scene.volumes import voxelsOf

#: Attributes of the masked volume: the number of masks of the reconstruction, and whether the model saw everything.
_COUNT_ATTRIBUTE, _SEES_ALL_ATTRIBUTE = "MAESIL.masks", "MAESIL.seesAll"

_SCORES = sentence("reconstruction.scores")
_ROWS = sentence("reconstruction.rows")

_ROLES = (
    # The input; voxels hidden by the first mask are at the lower end of the model's window; see also `_titleOf`.
    Role("masked", "masked", "Masked", "view", "#E69F00", isLikeInput=True),
    # The model's prediction.
    Role("reconstruction", "reconstruction", "Reconstruction", "view", "#0072B2", isLikeInput=True),
    # The input in visible patches, the reconstruction in patches hidden by the first mask.
    Role("mosaic", "mosaic", "Mosaic", isLikeInput=True),
    # Reconstruction minus input in hidden voxels.
    Role("error", "error", "Error", "view", "#D55E00"),
    # Standard deviation over the masks of a coverage.
    Role("uncertainty", "uncertainty", "Uncertainty", isOptional=True),
    Role("metrics", "scores", _SCORES, "scores", isOptional=True),
    Role("superpatches", "superpatches", _ROWS, "rows"),
    Role("chart", "PSNR by superpatch", "PSNR by superpatch", "plot"),
)

_FILE_TITLES = {
    "reconstruction.nii.gz": "Reconstruction",
    "mosaic.nii.gz": "Mosaic",
    "error.nii.gz": "Error",
    "uncertainty.nii.gz": "Uncertainty",
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


def _titleOf(results: ResultSet, what: str) -> str:
    """What a model that sees everything gets is not called masked."""
    seesAll = results.nodesByRole["masked"].GetAttribute(_SEES_ALL_ATTRIBUTE)
    return sentence("reconstruction.input") if what == "masked" and seesAll else ""


def _noteOnMask(count: int) -> str:
    return "" if count == 1 else f"(mask 1 of {count})"


def _import(insertion: Insertion) -> None:
    """Import volumes as int16 if the input is int16, else as float32."""
    result = insertion.files.result
    count, seesAll = int(result.get("masks", 1)), bool(result.get("sees_all"))
    words = {"masked": "input" if seesAll else "masked", "mosaic": "mosaic"}
    insertion.chooseNames({role: f"{word} {_noteOnMask(count)}".strip() for role, word in words.items()})
    name, model = insertion.inputNode.GetName(), result["model"]
    insertion.describe(
        f"{name}, copied by {model}, which saw all of it." if seesAll else f"{name}, filled in by {model}.",
        insertion.note,
        *result.get("notes", ()),
        DISCLAIMER,
    )
    volumes = {role: insertion.volume(role, voxels, autoWindow=False) for role, voxels in _voxels(insertion)}
    volumes["masked"].SetAttribute(_COUNT_ATTRIBUTE, str(count))
    if seesAll:
        volumes["masked"].SetAttribute(_SEES_ALL_ATTRIBUTE, "1")
    for role, stops, isSigned in (("error", ERROR_STOPS, True), ("uncertainty", UNCERTAINTY_STOPS, False)):
        if role in volumes:
            limit = nice_limit(voxelsOf(volumes[role]))
            title = titleWithUnit(role.capitalize(), _unitOf(insertion.files))
            showInColors(volumes[role], role, stops, (-limit if isSigned else 0.0, limit), title)
    _addTables(insertion)


def _voxels(insertion: Insertion) -> Iterator[tuple[str, np.ndarray]]:
    """Yield role and voxels one at a time, so that only one copy exists besides the scene's."""
    mosaic = _stored(insertion, "mosaic")
    yield "masked", _masked(insertion.files, mosaic)
    yield "mosaic", mosaic
    del mosaic
    for role in ("reconstruction", "error", "uncertainty"):
        if role != "uncertainty" or insertion.files.has("uncertainty.npy"):
            yield role, _stored(insertion, role)


def _stored(insertion: Insertion, name: str) -> np.ndarray:
    """One volume of the job, in the voxel type of the scene."""
    node, values = insertion.inputNode, insertion.files.array(name)
    voxels = voxelsOf(node)
    if values.shape != voxels.shape:
        raise ResultsError(sentence("reconstruction.other-size", volume=node.GetName()))
    isWhole = fits_int16(voxels.dtype, *node.GetImageData().GetScalarRange())
    return rounded(values) if isWhole else np.asarray(values, dtype=np.float32)


def _masked(files: JobFiles, mosaic: np.ndarray) -> np.ndarray:
    patchSize = files.result["patch_size_kji"]
    grid = SuperpatchGrid(mosaic.shape, patchSize, patchSize)
    try:
        isHidden = grid.expand(files.array("mask") != 0)
    except ConfigError as error:
        raise ResultsError(sentence("reconstruction.other-mask")) from error
    low, _high = files.result.get("window", files.result.get("window_hu"))
    return np.where(isHidden, mosaic.dtype.type(low), mosaic)


def _unitOf(files: JobFiles) -> str:
    """Unit of the voxels; "" for scans without HU."""
    return str(files.result.get("unit", "HU"))


def _addTables(insertion: Insertion) -> None:
    scene, files, names = insertion.scene, insertion.files, insertion.names
    if files.has("metrics.json"):
        insertion.add("metrics", addScoreTable(scene, names["metrics"], files.json("metrics.json")))
    entries = files.json("superpatches.json")
    table = addSuperpatchTable(scene, names["superpatches"], entries, _unitOf(files))
    insertion.add("superpatches", table)
    insertion.add("chart", addScoreChart(scene, names["chart"], table))


KIND = ResultKind("reconstruction", _ROLES, "reconstruction", _import, _FILE_TITLES, _noteOn, _titleOf)
