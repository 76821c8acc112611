"""Labelled cases: pairs of a scan and its labels, from a CSV file or from folders. Needs no PyTorch."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from MAESILCore.data.formats import names
from MAESILCore.errors import ConfigError, VolumeError

_COLUMNS = ("scan", "labels", "patient", "split")
_SPLITS = {"": False, "train": False, "training": False, "validation": True, "val": True}
#: What nnU-Net appends to the name of a scan.
_CHANNEL = "_0000"


@dataclass(frozen=True)
class Case:
    """A scan with its labels.

    Attributes:
        scan: absolute path of the scan.
        labels: absolute path of its labels: a label map, .seg.nrrd, DICOM SEG or RTSTRUCT.
        patient: name of the patient, only to compare; "" is that of the scan.
        validation: whether the case is kept for validation.
    """

    scan: str
    labels: str
    patient: str = ""
    validation: bool = False

    @property
    def name(self) -> str:
        """The scan's name without folder and extension."""
        return names.stem_of(Path(self.scan))

    @property
    def content(self) -> dict[str, Any]:
        """The case for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Case:
        """The case of its `content`.

        Raises:
            KeyError, TypeError: a field is missing or unknown.
        """
        case = cls(**content)
        return replace(case, scan=str(case.scan), labels=str(case.labels), patient=str(case.patient))


def read_cases(place: str | Path, labels: str | Path | None = None) -> list[Case]:
    """The cases of a CSV file, or of a folder of scans and a folder of labels.

    A CSV file has the columns `scan` and `labels` with paths from its folder, and may have `patient` and `split`
    (train or validation). In folders, the labels of a scan have its name, or begin with it (`s1.nii.gz` has
    `s1.seg.nrrd` or `s1_gtv.nii.gz`); the `_0000` of nnU-Net is left out.

    Args:
        place: CSV file, or folder of scans.
        labels: folder of the labels, for a folder of scans; it may be the same folder.

    Raises:
        ConfigError: the file or a column does not fit, a file is missing, or no scan has labels.
    """
    place = Path(place).expanduser()
    if place.is_dir():
        if labels is None:
            raise ConfigError(
                f"{place} is a folder: give the folder of the labels, too, or a CSV file of cases."
            )
        return _paired(place, Path(labels).expanduser())
    if labels is not None:
        raise ConfigError("A folder of labels fits a folder of scans; a CSV file names its labels itself.")
    return _listed(place)


def check_cases(cases: Sequence[Case]) -> None:
    """Check that no patient and no scan is in training and validation at once.

    Raises:
        ConfigError: there is no case to train on, a scan comes twice, or a patient is on both sides.
    """
    if not any(not case.validation for case in cases):
        raise ConfigError(
            "There is no labelled case to train on: give at least one that is not for validation."
        )
    seen: set[str] = set()
    for case in cases:
        place = os.path.realpath(case.scan)
        if place in seen:
            raise ConfigError(f"The scan {case.name} comes twice: give each scan once, with all its labels.")
        seen.add(place)
    kept = {case.patient for case in cases if case.validation and case.patient}
    both = sorted(kept & {case.patient for case in cases if not case.validation})
    if both:
        raise ConfigError(
            f"The patient {both[0]} is in training and validation, which would flatter the scores: "
            "keep all cases of a patient on one side."
        )


def held_out(cases: Iterable[Case], patterns: Sequence[str]) -> list[Case]:
    """The cases, of which those that fit a glob pattern (of the scan's name) are kept for validation.

    Raises:
        ConfigError: a pattern fits no case.
    """
    cases = list(cases)
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in cases):
            known = ", ".join(case.name for case in cases[:5])
            raise ConfigError(f"No case fits the pattern {pattern!r} of --hold-out; cases are {known}, ...")
    return [
        replace(case, validation=case.validation or any(fnmatchcase(case.name, one) for one in patterns))
        for case in cases
    ]


def _listed(path: Path) -> list[Case]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"The list of cases {path} cannot be read: {reason}.") from error
    unknown = [str(column) for column in columns if column not in _COLUMNS]
    if unknown or not {"scan", "labels"} <= set(columns):
        problem = f"has the unknown column {unknown[0]!r}" if unknown else "lacks the column scan or labels"
        raise ConfigError(f"The list of cases {path.name} {problem}: its columns are {', '.join(_COLUMNS)}.")
    cases = []
    for number, row in enumerate(rows, start=2):
        values = {name: (row.get(name) or "").strip() for name in _COLUMNS}
        where = f"line {number} of {path.name}"
        if not values["scan"] or not values["labels"]:
            raise ConfigError(
                f"In {where} the scan or its labels are missing; fill in both, or remove the line."
            )
        if values["split"].lower() not in _SPLITS:
            raise ConfigError(f"In {where} the split is {values['split']!r}; write train or validation.")
        scan, labels = (
            os.path.abspath(path.parent / Path(values[one]).expanduser()) for one in ("scan", "labels")
        )
        for place in (scan, labels):
            if not os.path.exists(place):
                raise ConfigError(f"In {where}, {place} does not exist; check the path.")
        cases.append(Case(scan, labels, values["patient"], _SPLITS[values["split"].lower()]))
    if not cases:
        raise ConfigError(f"The list of cases {path.name} has no line with a case.")
    return cases


def _paired(scans: Path, labels: Path) -> list[Case]:
    found, marked = _files(scans), _files(labels)
    same = os.path.realpath(scans) == os.path.realpath(labels)
    stems = {path: names.stem_of(path).removesuffix(_CHANNEL) for path in found}
    cases, taken = [], set[Path]()
    for path, stem in stems.items():
        mine = [
            other
            for other in marked
            if (other != path or not same) and _belongs(names.stem_of(other), stem, stems.values(), same)
        ]
        if len(mine) > 1:
            both = ", ".join(other.name for other in mine[:3])
            raise ConfigError(
                f"The scan {path.name} has several labels ({both}): list the cases in a CSV file."
            )
        if mine:
            cases.append(Case(os.path.abspath(path), os.path.abspath(mine[0])))
            taken.add(mine[0])
    if not cases:
        raise ConfigError(
            f"No file in {labels} has the name of a scan in {scans}: give labels the names of their scans, or list the "
            "cases in a CSV file."
        )
    return [case for case in cases if not (same and Path(case.scan) in taken)]


def _files(folder: Path) -> list[Path]:
    from MAESILCore.data.volume import find_scans

    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; check the path.")
    try:
        return find_scans(folder)
    except VolumeError as error:
        raise ConfigError(f"{folder} holds no file that can be read as a scan or labels.") from error


def _belongs(labels: str, scan: str, scans: Iterable[str], same: bool) -> bool:
    """Whether labels of this name are those of the scan: its own name, or the longest that they begin with."""
    if labels == scan:
        return not same
    if not (labels.startswith(scan) and labels[len(scan)] in "_-. "):
        return False
    others = (other for other in scans if other not in (scan, labels))
    return not any(labels.startswith(other) and len(other) > len(scan) for other in others)
