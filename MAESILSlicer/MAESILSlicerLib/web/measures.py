"""What a slice view says in numbers: its scale, and the place and value under the mouse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.scene.transforms import geometryOf, linearTransformToWorld

if TYPE_CHECKING:
    from trame_server import Server
    from trame_slicer.views import SliceView

#: Lengths of the scale bar in mm, of which the longest that takes at most this share of the view is drawn.
_LENGTHS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_LARGEST_SHARE = 0.25
_SIDES = ("RL", "AP", "SI")
_MINUS = "\N{MINUS SIGN}"


def followMouse(server: Server, view: SliceView) -> str:
    """Write the place and value under the mouse to the state; the name of the variable is returned."""
    name = f"{view.get_singleton_tag()}_probe"
    server.state[name] = ""

    def tell(*_: object) -> None:
        xy = view.interactor().GetEventPosition()
        server.state[name] = probeText(view, xy, server.state.unit or "")

    # Before the view itself, which keeps the event to itself where the mouse is over a handle.
    view.interactor().AddObserver("MouseMoveEvent", tell, 1.0)
    # The mouse may rest while the wheel brings another slice.
    view.get_view_node().AddObserver("ModifiedEvent", tell)
    return name


def followScale(server: Server, view: SliceView) -> str:
    """Write the scale bar to the state, as its width in percent of the view and its length in words."""
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
    """Send the state once what changes it now is done: a view that is resized or fitted sends nothing by itself."""
    try:
        asyncio.get_running_loop().call_soon(server.state.flush)
    except RuntimeError:
        # Before the server runs; each page asks for the whole state when it comes.
        return


def scaleOf(widthMm: float) -> tuple[float, str]:
    """The scale bar of a view that is so many mm wide: its width in percent, and its length in words."""
    fitting = [length for length in _LENGTHS_MM if length <= _LARGEST_SHARE * widthMm]
    length = max(fitting, default=_LENGTHS_MM[0])
    return round(100 * length / widthMm, 2), f"{length // 10} cm" if length >= 10 else f"{length} mm"


def probeText(view: SliceView, xy: tuple[int, int], unit: str) -> str:
    """The place in world RAS mm, named by its sides, and the value of the volume there; "" outside the volume.

    Args:
        view: with the volume in its background.
        xy: pixels from the lower left.
        unit: of the values; "" for none.
    """
    volumeId = view.get_background_volume_id()
    volumeNode = view.get_view_node().GetScene().GetNodeByID(volumeId) if volumeId else None
    if volumeNode is None or volumeNode.GetImageData() is None:
        return ""
    ras = np.array(view.get_view_node().GetXYToRAS().MultiplyPoint((*xy, 0.0, 1.0)))
    try:
        ijkToWorld = linearTransformToWorld(volumeNode) @ geometryOf(volumeNode)
    except MaesilError:
        # Such a volume is refused with a sentence where it is chosen.
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
