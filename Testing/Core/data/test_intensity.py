"""The intensity of scans: windows in HU, percentiles and z-scores."""

from __future__ import annotations

import numpy as np
import pytest

from MAESILCore.data.intensity import Intensity, body_floor
from MAESILCore.data.window import SOFT_TISSUE, Window
from MAESILCore.errors import ConfigError, VolumeError


@pytest.fixture
def a_head() -> np.ndarray:
    """A scan of which more than half is background with the value 0."""
    voxels = np.zeros((20, 20, 20), dtype=np.int16)
    voxels[4:16, 4:16, 4:16] = np.random.default_rng(0).normal(500, 80, (12, 12, 12)).astype(np.int16)
    return voxels


def test_a_window_is_the_same_for_all_scans(a_head: np.ndarray) -> None:
    assert Intensity(window=SOFT_TISSUE).window_of(a_head) == SOFT_TISSUE


def test_percentiles_and_z_scores_leave_the_background_out(a_head: np.ndarray) -> None:
    content = a_head[a_head > 0]
    found = Intensity("percentiles", percentiles=(1.0, 99.0)).window_of(a_head)
    np.testing.assert_allclose((found.low, found.high), np.percentile(content, (1, 99)))
    found = Intensity("z-score", deviations=2.0).window_of(a_head)
    mean, deviation = content.mean(), content.std()
    np.testing.assert_allclose((found.low, found.high), (mean - 2 * deviation, mean + 2 * deviation))
    assert found.apply(np.array([mean]))[0] == pytest.approx(0.5)


@pytest.mark.parametrize("rule", ["percentiles", "z-score"])
def test_a_scan_and_its_multiple_look_the_same(a_head: np.ndarray, rule: str) -> None:
    intensity, louder = Intensity(rule), 7.0 * a_head.astype(np.float32) + 100.0
    first, second = (intensity.window_of(scan).apply(scan) for scan in (a_head, louder))
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("value", [[3, 3], [3, 4]])
def test_a_scan_of_one_value_has_no_window(value: list[int]) -> None:
    voxels = np.full((4, 4, 4), value[0])
    voxels[0, 0, 0] = value[1]
    for rule in ("percentiles", "z-score"):
        with pytest.raises(VolumeError, match="Almost all voxels of the scan have the same value"):
            Intensity(rule).window_of(voxels)


def test_body_lies_above_a_tenth_of_the_window(a_head: np.ndarray) -> None:
    floor = body_floor(a_head, Intensity("z-score").window_of(a_head))
    np.testing.assert_array_equal(a_head > floor, a_head > 0)


@pytest.mark.parametrize(
    "intensity",
    [
        Intensity(window=Window(-5.0, 7.0)),
        Intensity("percentiles", percentiles=(2.0, 90.0)),
        Intensity("z-score", deviations=4.0),
    ],
)
def test_an_intensity_is_the_same_after_json(intensity: Intensity) -> None:
    assert Intensity.from_json(intensity.to_json()) == intensity


def test_wrong_intensities_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="There is no intensity 'minmax'; choose one of window, percentiles, z-score"
    ):
        Intensity("minmax")
    with pytest.raises(ConfigError, match="two rising numbers from 0 to 100, but are 99 and 1"):
        Intensity(percentiles=(99.0, 1.0))
    with pytest.raises(ConfigError, match="above 0, but are 0"):
        Intensity(deviations=0.0)
