"""The control that knows nothing but the place of a structure in the labelled scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.compare.fewlabels.place import PlaceControl
from MAESILCore.compare.fewlabels.run import compare_few_labels
from MAESILCore.data.segmentation import UNLABELLED, Segment, Segmentation
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.opening import ReadCase
from MAESILCore.errors import Cancelled
from Testing.Core.downstream.conftest import BRIGHT, DARK, labelled_cases, labelled_volume

__all__ = ["labelled_cases"]


def read(volume: Volume, segmentation: Segmentation) -> ReadCase:
    """A case that is in no file."""
    return ReadCase(Case("scan", "labels"), volume, segmentation)


def boxes(
    shape: tuple[int, int, int], *, segments: tuple[Segment, ...] = (BRIGHT, DARK), unlabelled_rows: int = 0
) -> ReadCase:
    """The bright structure in the lower half of the axis j, the dark one in the upper half, i from a quarter on."""
    labels = np.zeros(shape, np.uint8)
    half, quarter = shape[1] // 2, shape[2] // 4
    for one, rows in ((BRIGHT, slice(0, half)), (DARK, slice(half, None))):
        if one in segments:
            labels[:, rows, quarter:] = one.value
    labels[:unlabelled_rows] = 9
    named = (*segments, Segment(9, UNLABELLED)) if unlabelled_rows else segments
    volume = Volume(np.zeros(shape, np.int16), np.diag([1.0, 2.0, 3.0, 1.0]), "boxes")
    return read(volume, Segmentation(labels, volume.ijk_to_ras, named))


def test_a_labelled_scan_gives_its_own_labels_in_any_order_of_axes() -> None:
    volume, segmentation = labelled_volume(0)
    control = PlaceControl.of([read(volume, segmentation)])
    assert control.classes.names == ("bright", "dark")
    found = control.predict(read(volume, segmentation))
    assert np.array_equal(found, segmentation.labels)
    # The same scan with i backwards, and with j and k changed over.
    size = volume.voxels.shape[2]
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 0] * (size - 1)
    matrix[:3, 0] *= -1
    matrix = matrix[:, [0, 2, 1, 3]]

    def turned(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[:, :, ::-1].transpose(1, 0, 2))

    other = read(
        Volume(turned(volume.voxels), matrix, "turned"),
        Segmentation(turned(segmentation.labels), matrix, segmentation.segments),
    )
    assert np.array_equal(control.predict(other), turned(segmentation.labels))


def test_places_are_fractions_of_the_extent() -> None:
    control = PlaceControl.of([boxes((4, 8, 8)), boxes((6, 16, 12))])
    larger = boxes((5, 24, 16))
    assert np.array_equal(control.predict(larger), larger.segmentation.labels)


def test_the_majority_of_the_labelled_scans_decides() -> None:
    volume, first = labelled_volume(0)
    _, second = labelled_volume(1)
    control = PlaceControl.of([read(volume, one) for one in (first, first, second)])
    assert np.array_equal(control.predict(read(volume, second)), first.labels)


def test_only_labelled_voxels_and_outlined_structures_vote() -> None:
    whole = boxes((4, 8, 8))
    partial = PlaceControl.of([whole, boxes((4, 8, 8), unlabelled_rows=3)])
    assert np.array_equal(partial.predict(whole), whole.segmentation.labels)
    # Two of three scans do not say where the dark structure is, so that the one that does decides.
    bright = boxes((4, 8, 8), segments=(BRIGHT,))
    some = PlaceControl.of([whole, bright, bright])
    dark = some.predict(whole) == some.classes.names.index("dark") + 1
    assert np.array_equal(dark, whole.segmentation.labels == DARK.value)


def test_labels_of_the_scored_case_are_not_looked_at() -> None:
    whole = boxes((4, 8, 8))
    empty = read(
        whole.volume, Segmentation(np.zeros((4, 8, 8), np.uint8), np.eye(4), whole.segmentation.segments)
    )
    control = PlaceControl.of([whole])
    assert np.array_equal(control.predict(empty), control.predict(whole))


@pytest.mark.parametrize("edge", [2, 7])
def test_a_scan_of_any_size_has_a_prediction(edge: int) -> None:
    found = PlaceControl.of([boxes((4, 8, 8))]).predict(boxes((edge, edge, edge)))
    assert found.shape == (edge, edge, edge)
    assert found.dtype == np.uint8


def test_a_stopped_control_leaves_nothing(labelled_cases: list[Case], tmp_path: Path) -> None:
    config = FewLabelsConfig.model_validate(
        {
            "task": "segmentation",
            "tests": ["scan2"],
            "shots": [1],
            "rows": {"place in the scan": {"control": "place"}},
        }
    )
    with pytest.raises(Cancelled):
        compare_few_labels(config, labelled_cases, tmp_path, cancelled=lambda: True)
    assert not list(tmp_path.rglob("scores.json"))
    (cell,) = compare_few_labels(config, labelled_cases, tmp_path)
    scores = cell.scores()
    assert scores is not None
    assert {one["case"] for one in scores["cases"]} == {"scan2"}
