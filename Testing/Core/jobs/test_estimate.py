"""How long a reconstruction will take."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from MAESILCore.data.window import LUNG_TO_BONE
from MAESILCore.jobs.estimate import (
    estimate_seconds,
    estimate_text,
    measure_seconds_per_megavoxel,
    stages_of,
    voxels_to_pass,
)
from MAESILCore.lattice import Mask, SuperpatchGrid, roi_mask_from_box
from MAESILCore.methods import create


def test_a_model_is_measured_on_a_device() -> None:
    sizes = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}
    method = create("maesil", sizes, "tiny").eval()
    model = SimpleNamespace(method=method, window=LUNG_TO_BONE, reconstruct=method.reconstruct, **sizes)
    assert 0 < measure_seconds_per_megavoxel(model, "cpu") < 1e4  # type: ignore[arg-type]


def test_only_tiles_with_something_hidden_are_counted() -> None:
    grid = SuperpatchGrid((16, 32, 48), 16, 4)
    assert voxels_to_pass(grid, 0) == 16 * 32 * 48
    assert voxels_to_pass(grid, 4) == 4 * 16 * 32 * 48
    assert voxels_to_pass(grid, 0, roi_mask_from_box(grid, (0, 16, 20), (16, 32, 24))) == 16**3
    nothing = Mask(np.zeros(grid.lattice_shape))
    assert voxels_to_pass(grid, 0, nothing) == 16 * 32 * 48
    # Shared voxels are passed in every tile.
    assert voxels_to_pass(SuperpatchGrid((16, 16, 28), 16, 4, 4), 1) == 2 * 16**3


def test_an_estimate_grows_with_masks_and_scores() -> None:
    grid = SuperpatchGrid((96, 208, 208), 16, 4)
    single, scored, four = (
        estimate_seconds(grid, coverage, 2.0, scores=scores)
        for coverage, scores in ((0, False), (0, True), (4, False))
    )
    assert four - single == pytest.approx(3 * 2.0 * 96 * 208 * 208 / 1e6)
    assert scored > single


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "a few seconds"),
        (42, "about 40 s"),
        (100, "about 2 min"),
        (3000, "about 50 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert estimate_text(seconds) == text


def test_the_stages_of_a_reconstruction_grow_with_the_scan_and_what_is_asked_for() -> None:
    assert list(stages_of(10**6, scores=False)) == ["writing", "superpatches"]
    small, large, compared = (
        stages_of(voxels, scores=True, export=True, controls=controls)
        for voxels, controls in ((10**6, 0), (10**7, 0), (10**6, 2))
    )
    assert list(small) == ["writing", "scoring", "superpatches", "exporting"]
    assert all(large[name] > small[name] for name in small)
    assert compared["scoring"] == pytest.approx(small["scoring"] + 16.0)
