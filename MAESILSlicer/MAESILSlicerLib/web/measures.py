"""The numbers of a slice view: its scale bar, and the place and value under the mouse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.scene.transforms import geometryOf, linearTransformToWorld

if TYPE_CHECKING:
    from trame_server import Server
    from trame_slicer.views import SliceView

#: Lengths of the scale bar, mm; the longest within this share of the view's width is drawn.
_LENGTHS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_LARGEST_SHARE = 0.25
_SIDES = ("RL", "AP", "SI")
_MINUS = "\N{MINUS SIGN}"


def followMouse(server: Server, view: SliceView) -> str:
    """Write the place and value under the mouse to a state variable; return its name."""
    name = f"{view.get_singleton_tag()}_probe"
    server.state[name] = ""

    def update(*_: object) -> None:
        xy = view.interactor().GetEventPosition()
        server.state[name] = probeText(view, xy, server.state.unit or "")

    # Before the view's own observer, which consumes the event while the mouse is over a handle.
    view.interactor().AddObserver("MouseMoveEvent", update, 1.0)
    # The wheel may change the slice while the mouse rests.
    view.get_view_node().AddObserver("ModifiedEvent", update)
    return name


def followScale(server: Server, view: SliceView) -> str:
    """Write the scale bar to a state variable, as `percent` of the view's width and `text`; return its name."""
    name = f"{view.get_singleton_tag()}_scale"

    def changed(*_: object) -> None:
        percent, text = scaleOf(view.get_view_node().GetFieldOfView()[0])
        scale = {"percent": percent, "text": text}
        if server.state[name] != scale:
            server.state[name] = scale
            _sendSoon(server)

    server.state[name] = None
    view.get_view_node().AddObserver("ModifiedEvent", changed)
    changed()
    return name


def _sendSoon(server: Server) -> None:
    """Send the state after the current change, because resizing or fitting a view does not send it."""
    try:
        asyncio.get_running_loop().call_soon(server.state.flush)
    except RuntimeError:
        # Before the server runs, no send is needed: each page loads the whole state.
        return


def scaleOf(widthMm: float) -> tuple[float, str]:
    """The scale bar for a view of `widthMm`: its width in percent, and its length as text."""
    fitting = [length for length in _LENGTHS_MM if length <= _LARGEST_SHARE * widthMm]
    length = max(fitting, default=_LENGTHS_MM[0])
    return round(100 * length / widthMm, 2), f"{length // 10} cm" if length >= 10 else f"{length} mm"


def probeText(view: SliceView, xy: tuple[int, int], unit: str) -> str:
    """The place (world RAS, mm, with the letters of its sides) and the value there; "" outside the volume.

    Args:
        view: the view with the volume in its background.
        xy: pixels from the lower left corner.
        unit: unit of the values; "" for none.
    """
    volumeId = view.get_background_volume_id()
    volumeNode = view.get_view_node().GetScene().GetNodeByID(volumeId) if volumeId else None
    if volumeNode is None or volumeNode.GetImageData() is None:
        return ""
    ras = np.array(view.get_view_node().GetXYToRAS().MultiplyPoint((*xy, 0.0, 1.0)))
    try:
        ijkToWorld = linearTransformToWorld(volumeNode) @ geometryOf(volumeNode)
    except MaesilError:
        # Such a volume is refused when it is chosen.
        return ""
    ijk = np.rint(np.linalg.solve(ijkToWorld, ras)[:3]).astype(int)
    image = volumeNode.GetImageData()
    if (ijk < 0).any() or (ijk >= image.GetDimensions()).any():
        return ""
    value = image.GetScalarComponentAsDouble(*ijk.tolist(), 0)
    place = "  ".join(
        f"{sides[0 if millimetres >= 0 else 1]} {abs(millimetres):.1f}"
        for sides, millimetres in zip(_SIDES, ras[:3].tolist(), strict=True)
    )
    number = (f"{value:.0f}" if unit else f"{value:.6g}").replace("-", _MINUS)
    return f"{place} mm: {number} {unit}".rstrip()
