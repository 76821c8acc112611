"""The frame of each view: its name, the patient's sides and the slider of a slice view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.widgets import html
from trame_slicer.app.logic.slice_view_logic import connect_slice_view_slider_to_state

from MAESILSlicerLib.web.measures import followMouse, followScale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trame_server import Server
    from trame_slicer.views import SliceView, ThreeDView

#: Letters at left, right, top and bottom of each orientation; the patient's right is on the screen's left.
_SIDES = {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}
_NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
_MARGIN = 0.1
_AZIMUTH_DEGREES, _ELEVATION_DEGREES = -28, 14


def sliceFrame(
    server: Server,
    _viewId: str,
    view: SliceView,
    *,
    fit: Callable[[SliceView], None],
    nameOf: Callable[[str], str | None],
) -> None:
    """Add name, sides, slider and a fit button over a slice view.

    Args:
        server: the trame server.
        _viewId: not used.
        view: the slice view.
        fit: called with the view when the button is pressed.
        nameOf: returns the name of a comparison view by its singleton tag; None for other views.
    """
    tag = view.get_singleton_tag()
    compared = nameOf(tag)
    name = compared or _NAMES.get(tag, tag)
    probe, scale = followMouse(server, view), followScale(server, view)
    _bar(
        f"{{{{ compared_titles['{tag}'] || '{name}' }}}}" if compared else name,
        tag,
        lambda: fit(view),
        name,
        probe,
    )
    _scaleBar(scale)
    if compared is None:
        for side, letter in zip(("left", "right", "top", "bottom"), _SIDES[name], strict=True):
            html.Span(letter, classes=f"side side-{side}", raw_attrs=['aria-hidden="true"'])
    slider = connect_slice_view_slider_to_state(server, view).name
    with html.Label(classes="slice-slider"):
        html.Span(f"Position of the {name.lower()} slice in mm", classes="hidden-label")
        html.Input(
            type="range",
            raw_attrs=[
                f'data-view="{tag}"',
                f':min="{slider.min_value}"',
                f':max="{slider.max_value}"',
                f':step="{slider.step}"',
                f':value="{slider.value}"',
                f'@input="{slider.value} = Number($event.target.value)"',
            ],
        )
        html.Span(f"{{{{ Number({slider.value}).toFixed(1) }}}} mm", raw_attrs=['aria-hidden="true"'])


def titleOf(tag: str, compared: Mapping[str, str]) -> str:
    """The title of a view by its singleton tag; `compared` holds those of the comparison."""
    return compared.get(tag) or _NAMES.get(tag, "3D" if tag == "ThreeD" else tag)


def fitSlice(view: SliceView) -> None:
    """Show the whole middle slice of the scan in its current orientation, with room for the slider below."""
    view.fit_view_to_content()
    low, high = view.get_slice_range()
    middle = (low + high) / 2
    # With sheared axes, VTK cannot find the slice step and jumps far away.
    if abs(view.get_slice_value() - middle) > view.get_slice_step():
        view.set_slice_value(middle)
    view.zoom(-_MARGIN)


def threeDFrame(_server: Server, _viewId: str, view: ThreeDView) -> None:
    """Add the name over the 3D view."""
    _bar("3D", "ThreeD", lambda: fitThreeD(view), "3D")


def fitThreeD(view: ThreeDView) -> None:
    """Show the whole scene from the front, slightly from the side and above, so that depth is visible."""
    view.fit_view_to_content()
    cameraNode = view.get_camera_node()
    camera = cameraNode.GetCamera()
    camera.Azimuth(_AZIMUTH_DEGREES)
    camera.Elevation(_ELEVATION_DEGREES)
    camera.OrthogonalizeViewUp()
    # The extent in the view depends on the direction.
    view.reset_camera()
    cameraNode.ResetClippingRange()


def _scaleBar(scale: str) -> None:
    with html.Div(
        classes="scale", raw_attrs=[f":style=\"{{ width: {scale}.percent + '%' }}\"", 'aria-hidden="true"']
    ):
        html.Span(f"{{{{ {scale}.text }}}}")


def _bar(title: str, tag: str, reset: Callable[[], None], name: str, probe: str | None = None) -> None:
    with html.Div(classes=f"view-bar view-{tag}"):
        html.Span(title)
        if probe is not None:
            html.Span(
                f"{{{{ {probe} }}}}",
                classes="probe",
                raw_attrs=[f'v-if="{probe}"', f'data-test="probe-{tag}"'],
            )
        html.Button(
            "Fit",
            click=reset,
            type="button",
            raw_attrs=[f'aria-label="Fit {name} to its view"', 'title="Show the whole scan"'],
        )
