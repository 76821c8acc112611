"""A classifier on the scans of folders, as a table of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from MAESILCore.data.formats.discovery import discover_scans
from MAESILCore.data.scans import try_reading
from MAESILCore.data.volume import Volume, looks_like_label
from MAESILCore.downstream.classification.presence import presence_header
from MAESILCore.downstream.classification.presence_use import structures_in
from MAESILCore.downstream.classification.progress import Progress
from MAESILCore.downstream.classification.results import write_predictions
from MAESILCore.downstream.classification.stored import SCAN
from MAESILCore.downstream.classification.use import Classifier, classify
from MAESILCore.errors import VolumeError
from MAESILCore.files import why_unwritable


@dataclass(frozen=True)
class Applied:
    """What came of applying a classifier.

    Attributes:
        rows: rows of the table.
        notes: sentences for the user.
        left_out: scans that were left out, each with the reason.
    """

    rows: int
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def apply_classifier(
    classifier: Classifier,
    scans: str | PathLike[str] | Iterable[str | PathLike[str]],
    out: str | Path,
    *,
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Applied:
    """Write a CSV file with a row per scan: its name and the probability of each class.

    A classifier of superpatches gives a row per superpatch: its first voxel and end (exclusive) along k, j, i, and the
    probability of each structure.

    Args:
        classifier: see `load_classifier`.
        scans: files, DICOM folders, or folders of such; what cannot be read and label maps are left out.
        out: the file, in an existing folder.
        progress: callback with (done, total, message).
        cancelled: True stops the work; nothing is written.

    Raises:
        Cancelled: `cancelled` returned True.
        VolumeError: there is no scan that can be used, or the file cannot be written.
    """
    out = Path(out)
    found = discover_scans(scans)
    watch = Progress(len(found.scans), progress, cancelled)
    left_out, without_hu = [str(one) for one in found.left_out], 0
    lines: list[list[object]] = []
    used = 0
    for scan in found.scans:
        watch.step(f"Classifying {scan.name}")
        volume = try_reading(scan.path, scan.name)
        if isinstance(volume, str):
            left_out.append(volume)
        elif looks_like_label(volume):
            left_out.append(f"{scan.name}: a label map, not a scan.")
        else:
            used += 1
            without_hu += not volume.looks_like_hu
            lines += _lines(scan.name, volume, classifier, watch.cancelled)
    if not lines:
        raise VolumeError(f"None of the {len(found.scans)} scans can be classified: {left_out[0]}")
    try:
        write_predictions(out, _header(classifier), lines)
    except OSError as error:
        raise VolumeError(f"The table cannot be written: {why_unwritable(out, error)}.") from error
    notes = classifier.encoder.note_on(without_hu, used)
    return Applied(len(lines), notes, tuple(left_out))


def _header(classifier: Classifier) -> list[str]:
    shares = [f"p({name})" for name in classifier.classes]
    if classifier.description.task == SCAN:
        return ["scan", "class", *shares]
    return [*presence_header(())[:7], *shares]


def _lines(
    name: str, volume: Volume, classifier: Classifier, cancelled: Callable[[], bool]
) -> list[list[object]]:
    if classifier.description.task == SCAN:
        shares = classify(volume, classifier, cancelled=cancelled)
        return [[name, max(shares, key=shares.__getitem__), *shares.values()]]
    boxes, found = structures_in(volume, classifier, cancelled=cancelled)
    return [[name, *box.ravel().tolist(), *row.tolist()] for box, row in zip(boxes, found, strict=True)]
