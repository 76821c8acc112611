"""The views without a browser: their slices, their size, their titles and their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, reconstruct, show, until

from MAESILCore.data.volume import Volume, write_volume

if TYPE_CHECKING:
    from trame_slicer.views import SliceView

    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


SHEARED = np.array([[0.43, 0.02, 0.1, -90.0], [0.02, -0.4, 0.9, 60.0], [0.0, -0.2, 2.2, -60.0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "geometry", [np.eye(4), np.diag((-2.0, 0.5, -3.0, 1.0)), np.eye(4)[[2, 0, 1, 3]], SHEARED]
)
@pytest.mark.parametrize("shape", [(16, 32, 32), (54, 422, 31)])
def test_each_view_begins_in_the_middle_of_the_scan(
    an_application: Application, run: Run, tmp_path: Path, geometry: np.ndarray, shape: tuple[int, int, int]
) -> None:
    write_volume(Volume(np.ones(shape, np.int16), geometry), tmp_path / "scans" / "second.nii")

    async def work() -> None:
        await show(an_application, "second.nii")
        for view in an_application.views.slices:
            low, high = view.get_slice_range()
            assert view.get_slice_value() == pytest.approx(
                (low + high) / 2, abs=max(view.get_slice_step(), 1e-3)
            )
            assert low <= view.get_slice_value() <= high

    run(work())


@pytest.mark.parametrize("orientation", ["Axial", "Coronal", "Sagittal"])
def test_the_comparison_keeps_its_slice_at_another_size_and_is_fitted_as_one(
    an_application: Application, run: Run, orientation: str
) -> None:
    state, views = an_application.state, an_application.views

    async def work() -> None:
        # From now on changes of the state are listened to, as once the server runs.
        state.ready()
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        with state:
            state.orientation = orientation
        shown = views.shownSlices
        await until(lambda: all(view.get_orientation() == orientation for view in shown))
        low, high = shown[0].get_slice_range()
        for view in shown:
            view.set_slice_value(high - 1.5)
            view.zoom(0.5)
        for view in shown:
            resize(view, 500, 400)
        for view in shown:
            assert view.get_orientation() == orientation
            assert view.get_slice_range() == pytest.approx((low, high))
            assert view.get_slice_value() == pytest.approx(high - 1.5)
        whole = [view.get_view_node().GetFieldOfView() for view in shown]
        for view in shown:
            view.zoom(0.5)
        views.fitWith(shown[2])
        for view, field in zip(shown, whole, strict=True):
            assert view.get_orientation() == orientation
            assert view.get_view_node().GetFieldOfView() == pytest.approx(field)

    run(work())


def resize(view: SliceView, width: int, height: int) -> None:
    """What the page does once a view has got another place."""
    view.render_window().SetSize(width, height)
    view.interactor().InvokeEvent("WindowResizeEvent")


def test_a_view_that_is_made_late_blends_the_mask_like_the_first_ones(
    an_application: Application, run: Run
) -> None:
    from MAESILSlicerLib.web.views import _pixelsOf

    state, views = an_application.state, an_application.views

    async def work() -> None:
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        state.show_mask_compared, state.show_labels = True, False
        an_application.masks.apply()
        first, late = views.slices[0], views.shownSlices[0]
        for view in (first, late):
            resize(view, 300, 300)
            view.set_slice_value(0.0)
        node = late.get_view_node()
        node.SetFieldOfView(*first.get_view_node().GetFieldOfView())
        node.GetSliceToRAS().DeepCopy(first.get_view_node().GetSliceToRAS())
        node.UpdateMatrices()
        assert np.array_equal(_pixelsOf(late), _pixelsOf(first))

    run(work())


@pytest.mark.parametrize(
    ("width", "percent", "text"),
    [(400, 25, "10 cm"), (300, 16.67, "5 cm"), (30, 16.67, "5 mm"), (2, 50, "1 mm")],
)
def test_the_scale_bar_has_a_round_length(width: float, percent: float, text: str) -> None:
    from MAESILSlicerLib.web.measures import scaleOf

    assert scaleOf(width) == (percent, text)


def test_the_place_under_the_mouse_is_named_by_its_sides(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    from MAESILSlicerLib.web.measures import probeText

    voxels = np.full((16, 32, 32), -1000, np.int16)
    voxels[8, 20, 10] = 123
    geometry = np.diag((2.0, 2.0, 2.0, 1.0))
    geometry[:3, 3] = (-32, -32, -20)
    write_volume(Volume(voxels, geometry), tmp_path / "scans" / "second.nii")

    async def work() -> None:
        await show(an_application, "second.nii")
        view = an_application.views.slices[0]
        resize(view, 300, 300)
        view.set_slice_value(-4.0)
        to_xy = np.linalg.inv(slicer_matrix(view))
        x, y = np.rint((to_xy @ (-12.0, 8.0, -4.0, 1.0))[:2]).astype(int)
        text = probeText(view, (x, y), "HU")
        assert text.endswith(" mm: 123 HU")
        assert text.startswith("L ")
        assert "A " in text
        assert "I 4.0" in text
        assert probeText(view, (x, y), "").endswith(" mm: 123")
        assert probeText(view, (0, 0), "HU") == ""

    run(work())


def slicer_matrix(view: SliceView) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVTKMatrix(view.get_view_node().GetXYToRAS())


def test_a_screenshot_has_the_titles_of_the_views(an_application: Application, run: Run) -> None:
    from MAESILSlicerLib.web.viewframe import titleOf
    from MAESILSlicerLib.web.views import _titled

    titles = [titleOf(view.get_singleton_tag(), {}) for view in an_application.views.shown]
    assert titles == ["Axial", "3D", "Coronal", "Sagittal"]
    assert titleOf("MAESILMasked", {"MAESILMasked": "Masked (mask 1 of 4)"}) == "Masked (mask 1 of 4)"
    black = np.zeros((100, 200, 3), np.uint8)
    written = _titled(black, "Axial")
    assert written[:30, :80].max() == 255
    assert not written[40:].any()

    async def work() -> None:
        await show(an_application, "first.nii")
        assert an_application.views.screenshot().startswith(b"\x89PNG")

    run(work())
