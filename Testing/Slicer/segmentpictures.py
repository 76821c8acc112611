"""Draws the pictures of the section Segment: outline, learn, apply. `screenshots.py` calls it for ten minutes.

Without real chests in MAESIL_DATA it is drawn of phantoms. The outlines are made by a threshold, as in the Segment
Editor: everything that holds air and does not touch the border of the scan.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hosting import Host

#: Steps of the shown learning.
STEPS = 240
#: Scans that are outlined; the last chest is segmented.
OUTLINED = 2

COLOUR = (0.69, 0.48, 0.40)
#: The place that the slices show, as shares of the scan from right to left, back to front, bottom to top.
PLACE = (0.3, 0.5, 0.5)


def chests() -> list[Path]:
    """The real chests, or phantoms that are written into the present folder."""
    data = os.environ.get("MAESIL_DATA")
    found = sorted((Path(data) / "train").glob("LIDC*_CT.nii.gz")) if data else []
    if len(found) > OUTLINED:
        return [found[0], *found[2:], found[1]]
    from MAESILCore.data.volume import write_volume
    from MAESILCore.phantom import make_phantom

    paths = [Path(f"phantom-{seed}.nii.gz") for seed in range(OUTLINED + 1)]
    for seed, path in enumerate(paths):
        write_volume(make_phantom((96, 128, 128), seed=seed).volume, path)
    return paths


def lungs(hu: np.ndarray) -> np.ndarray:
    """The largest air inside the body, (k, j, i) bool."""
    from scipy import ndimage

    air = hu < -400
    places, count = ndimage.label(air)
    sides = (places[:, 0], places[:, -1], places[:, :, 0], places[:, :, -1])
    outside = set(np.unique(np.concatenate([side.ravel() for side in sides])).tolist())
    sizes = ndimage.sum_labels(air, places, range(1, count + 1))
    largest = next(int(one) + 1 for one in np.argsort(sizes)[::-1] if int(one) + 1 not in outside)
    return ndimage.binary_opening(ndimage.binary_closing(places == largest, iterations=2))


def drawSegmentation(host: Host, save: Callable[[str], None]) -> None:
    """Outline, learn and apply in the module's window, with a picture of each.

    Args:
        host: the open module, with an empty scene.
        save: writes a picture of the window under a name.
    """
    import slicer

    from MAESILCore import Segment, Segmentation, read_volume
    from MAESILSlicerLib.scene.segmentations import addSegmentation
    from MAESILSlicerLib.scene.volumes import addVolume, geometryOf, voxelsOf

    ui, window, session = host.ui, host.widget.window, host.widget.logic.session
    for name in ("volume", "mask", "display", "reconstruct", "features", "results", "system", "pretrain"):
        getattr(ui, f"{name}Section").collapsed = True
    ui.segmentSection.collapsed = False
    # What is about superpatches would cover the outlines.
    for box in (ui.gridCheckBox, ui.labelsCheckBox, ui.mask2dCheckBox, ui.mask3dCheckBox):
        box.setChecked(False)
    nodes = []
    for number, path in enumerate(chests()):
        node = addVolume(host.scene, read_volume(path), path.name.split(".")[0])
        nodes.append(node)
        if number < OUTLINED:
            labels = lungs(voxelsOf(node)).astype(np.uint8)
            segment = Segment(1, "Lungs", COLOUR)
            outline = addSegmentation(
                host.scene,
                Segmentation(labels, geometryOf(node), (segment,)),
                f"{node.GetName()} outline",
                node,
            )
            _show(outline, number == 0)
    look(host, nodes[0])
    save("segment-outline.png")
    ui.segmentStepsSpinBox.setValue(STEPS)
    host.click(ui.learnButton)
    board = window.study.board
    host.wait(lambda: board.runs and board.runs[0].step >= STEPS // 2, 7200)
    save("segment-learn.png")
    host.wait(lambda: board.runs[0].state != "running", 7200)
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        _show(node, False)
    look(host, nodes[-1])
    host.click(ui.applyButton)
    host.wait(lambda: not session.isRunning, 3600)
    if session.failed:
        raise SystemExit(session.message)
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if "segmentation" in node.GetName():
            _show(node, True)
    look(host, nodes[-1])
    save("segment-apply.png")


def look(host: Host, node: object) -> None:
    """Show a volume in the slices, in the middle of its lungs, and choose it in the module."""
    import slicer

    from MAESILSlicerLib.results.comparison import jumpTo

    host.ui.volumeSelector.setCurrentNode(node)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    shares = zip(bounds[::2], bounds[1::2], PLACE, strict=True)
    point = [low + share * (high - low) for low, high, share in shares]
    jumpTo(host.scene, tuple(point))
    layout = host.app.layoutManager()
    for number in range(layout.threeDViewCount):
        layout.threeDWidget(number).threeDView().resetView()
    host.process()


def _show(node: object, isShown: bool) -> None:
    """Show or hide a segmentation in the slices and in 3D."""
    display = node.GetDisplayNode()
    display.SetVisibility(isShown)
    if isShown:
        node.CreateClosedSurfaceRepresentation()
