"""Coded types of segments, in the form of the segment tag `TerminologyEntry` of 3D Slicer."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: A code: scheme, value and meaning.
Code = tuple[str, str, str]

NO_CODE: Code = ("", "", "")
_CONTEXTS = ("Segmentation category and type - DICOM master list", "Anatomic codes - DICOM master list")

#: Characters that separate fields of an entry, of a code and of tags.
_SEPARATORS = re.compile(r"[~^|]")


def entry(
    category: Code,
    kind: Code,
    modifier: Code = NO_CODE,
    region: Code = NO_CODE,
    region_modifier: Code = NO_CODE,
) -> str:
    """The entry of a segment (`vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry`).

    Args:
        category: category of the type, such as ("SCT", "85756007", "Tissue").
        kind: type, such as ("SCT", "10200004", "Liver").
        modifier: modifier of the type, such as a side.
        region: anatomic region.
        region_modifier: modifier of the region.
    """
    kinds, regions = (_joined(codes) for codes in ((category, kind, modifier), (region, region_modifier)))
    return "~".join([_CONTEXTS[0], *kinds, _CONTEXTS[1], *regions])


def _joined(codes: Sequence[Code]) -> list[str]:
    return ["^".join(_SEPARATORS.sub(" ", part) for part in code) for code in codes]
