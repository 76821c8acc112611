"""Reads one source and writes it as an unfinished scan; runs in worker processes."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.formats.voxeltypes import fits_int16, rounded
from MAESILCore.data.intensity import Intensity, body_floor
from MAESILCore.data.scans import failed_unexpectedly, read_scan, try_reading
from MAESILCore.data.volume import Volume, list_series, looks_like_label
from MAESILCore.errors import MaesilError
from MAESILCore.store import statistics
from MAESILCore.store.content import canonical, hash_of_files, hash_of_voxels, identity_of
from MAESILCore.store.index import Scan
from MAESILCore.store.layout import BODY_HU, METADATA_FILES, write_scan
from MAESILCore.store.resample import resample

#: Least voxels along each axis: an edge of the default patch.
SMALLEST = 8

#: The rule that tells the body of scans without HU, whatever the recipe of a training says.
USUAL = Intensity("percentiles")

#: Unique identifiers of DICOM.
UID = re.compile(r"\b\d+(\.\d+){3,}\b")

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Outcome:
    """The result of one source.

    Attributes:
        reason: why it cannot be used; "" if it can.
        scan: the scan.
        written: folder of the unfinished scan; None if the content is in the store already.
    """

    reason: str = ""
    scan: Scan | None = None
    written: Path | None = None


def ingest(
    path: Path, file: str, unfinished: Path, spacing: Spacing | None, is_hu: bool = True
) -> list[Outcome]:
    """Read a source and write its scan into a new folder below `unfinished`.

    Args:
        path: a file or DICOM folder.
        file: its name in reasons.
        unfinished: an existing folder.
        spacing: mm along i, j, k to resample to; None keeps the voxels.
        is_hu: whether the scan must be in HU.

    Returns:
        One outcome, or one per series of a folder with several.

    Raises:
        OSError: a scan cannot be written.
    """
    volume = try_reading(path, file)
    if isinstance(volume, Volume):
        return [_store(volume, unfinished, spacing, is_hu)]
    series = series_of(path)
    if len(series) < 2:
        # Reasons on DICOM folders may name series by their UIDs.
        return [Outcome(UID.sub("(UID)", volume))]
    outcomes = []
    for number, uid in enumerate(series, start=1):
        try:
            outcomes.append(_store(read_scan(path, uid), unfinished, spacing, is_hu))
        except MaesilError as error:
            outcomes.append(Outcome(UID.sub("(UID)", f"series {number}: {error}")))
    return outcomes


def series_of(path: Path) -> list[str]:
    """The UIDs of the series of a DICOM folder that can be scans, in order of their numbers."""
    try:
        found = list_series(path) if path.is_dir() else []
    except MaesilError:
        return []
    return [series.uid for series in found if series.is_volume and series.uid]


def _store(volume: Volume, unfinished: Path, spacing: Spacing | None, is_hu: bool) -> Outcome:
    """Write a volume as an unfinished scan."""
    reason = reason_against(volume, is_hu)
    if reason:
        return Outcome(reason)
    try:
        voxels = _as_int16(volume.voxels) if is_hu else _stretched(volume)
        view, source_matrix = canonical(voxels, volume.ijk_to_ras)
        source_shape, content = view.shape, hash_of_voxels(view)
        identity = identity_of(content, volume.ijk_to_ras, spacing)
        if spacing is None:
            volume = Volume(voxels, volume.ijk_to_ras)
        else:
            volume = resample(volume if is_hu else Volume(voxels, volume.ijk_to_ras), spacing)
            if min(volume.shape) < SMALLEST:
                return Outcome(_too_small(volume, "after resampling it has"))
        floor = float(BODY_HU) if is_hu else body_floor(volume.voxels, USUAL.window_of(volume.voxels))
        facts = statistics.of_scan(volume.voxels) if is_hu else statistics.of_values(volume.voxels, floor)
    except MaesilError as error:
        return Outcome(str(error))
    except MemoryError as error:
        return Outcome(failed_unexpectedly("Preparing", error))
    if not facts["body_voxels"]:
        return Outcome("it holds only air")
    folder = unfinished / f"{identity}-{uuid.uuid4().hex[:8]}"
    try:
        matrix = volume.ijk_to_ras.tolist()
        write_scan(folder, volume.voxels, {"ijk_to_ras": matrix, "body": facts}, floor)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    scan = Scan(
        identity=identity,
        shape=volume.shape,
        ijk_to_ras=tuple(map(tuple, matrix)),
        body=facts["body_voxels"] / volume.voxels.size,
        mean=facts["mean"],
        std=facts["std"],
        content=content,
        source_shape=source_shape,
        source_ijk_to_ras=tuple(map(tuple, source_matrix.tolist())),
        metadata=hash_of_files(folder, METADATA_FILES),
    )
    return Outcome("", scan, folder)


def reason_against(volume: Volume, is_hu: bool = True) -> str:
    """Why a volume cannot be used for training; "" if it can."""
    if looks_like_label(volume):
        return "a label map, not a scan"
    if is_hu and not volume.looks_like_hu:
        return "its values do not look like HU"
    if min(volume.shape) < SMALLEST:
        return _too_small(volume, "it has")
    return ""


def _too_small(volume: Volume, verb: str) -> str:
    return f"{verb} {dimensions_text(volume.shape[::-1])} voxels, and at least {SMALLEST} per axis are needed"


def _stretched(volume: Volume) -> np.ndarray:
    """Values without HU as int16: whole numbers as they are, others stretched to its whole range."""
    low, high = volume.value_range
    if fits_int16(volume.voxels.dtype, low, high):
        return _as_int16(volume.voxels)
    voxels, most = np.empty(volume.shape, dtype=np.int16), float(np.iinfo(np.int16).max)
    for target, plane in zip(voxels, volume.voxels, strict=True):
        share = (plane.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
        target[...] = np.rint((2.0 * share - 1.0) * most)
    return voxels


def _as_int16(voxels: np.ndarray) -> np.ndarray:
    return voxels if voxels.dtype == np.int16 else rounded(voxels)
