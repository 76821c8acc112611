"""Overlays: time from a slider's move to mask and cubes changed, and drawn, for a CT of 512 x 512 x 300."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slicer

    from MAESILCore.lattice import Mask

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (300, 512, 512)
LIMIT_MS = 100.0
#: Runs of the old and the new code, one after the other, of which the best counts.
TURNS = 3


def overlay_rows(rounds: int) -> list[tuple[str, str, str]]:
    """Rows of the table, measured in fresh processes, whose scene and windows are their own."""
    from Testing.Benchmarks.against import OLD, export

    try:
        ms = milliseconds_of(ROOT, rounds)
        with tempfile.TemporaryDirectory() as folder:
            is_old_there = export(OLD, Path(folder), "MAESILCore", "MAESILSlicer", "Testing")
            pairs = [
                (milliseconds_of(Path(folder), rounds), milliseconds_of(ROOT, rounds))
                for _ in range(TURNS * is_old_there)
            ]
    except subprocess.CalledProcessError as error:
        return [("Overlays", "not measured", error.stderr.strip().splitlines()[-1][:60])]
    changed, drawn, idle = ms["changed"], ms["drawn"], ms["idle"]
    size = " x ".join(map(str, SHAPE[::-1]))
    rows = [
        (
            "Slider to overlays changed, 64 x 64 x 38 patches: mask drawn, 4 nodes changed",
            f"{changed:.0f} ms",
            f"limit {LIMIT_MS:.0f} ms",
        ),
        (
            "The same, with 3 slice views and a 3D view of 512 x 512 rendered in software",
            f"{drawn:.0f} ms",
            f"{idle:.0f} ms of it unchanged views",
        ),
        ("Slices alone, as boxes, rendered", f"{ms['boxes']:.0f} ms", "1.0 x"),
        (
            "Slices alone, as a segmentation on the patch lattice, rendered",
            f"{ms['segmentation']:.0f} ms",
            f"{ms['segmentation'] / ms['boxes']:.1f} x",
        ),
        ("A slice scrolled by one voxel, labels included", f"{ms['scroll']:.0f} ms", ""),
    ]
    if pairs:
        old, new = (min(one["work"] for one in side) for side in zip(*pairs, strict=True))
        rows.append(
            (
                f"Slider to overlays drawn in four views, {size}, processor time",
                f"{new:.0f} ms, {OLD} {old:.0f} ms",
                f"{new / old:.2f} x",
            )
        )
    return rows


def milliseconds_of(root: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of the code in `root`, measured by this file in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), str(rounds)]
    testing = root / "Testing"
    paths = (root, root / "MAESILSlicer", testing, testing / "Slicer", Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(rounds: int) -> dict[str, float]:
    """Milliseconds, the best of `rounds` turns each; every turn has a mask of its own."""
    import numpy as np
    import slicer
    from timing import best_of

    from offscreen import AXIAL, SLICES, THREE_D, OffscreenApplication, OffscreenViews
    from volumes import addTestVolume

    try:
        from MAESILCore.lattice import MaskStrategy, SuperpatchGrid
        from MAESILSlicerLib.overlays.overlays import OverlayDisplay, Overlays
    except ModuleNotFoundError:  # before the rooms
        from MAESILCore.masking import MaskStrategy
        from MAESILCore.superpatch import SuperpatchGrid

        from MAESILSlicerLib.overlays import OverlayDisplay, Overlays

    application = OffscreenApplication()
    slicer.mrmlScene = application.scene
    views = OffscreenViews(application, (512, 512))
    node = addTestVolume(application.scene, voxels=np.zeros(SHAPE, dtype=np.int16), spacing=(0.7, 0.7, 1.0))
    views.showVolume(node)
    grid = SuperpatchGrid(SHAPE)
    overlays = Overlays(application.scene)
    overlays.show(node, grid)
    views.jumpTo(overlays.centerOf(0))
    seeds, ratios = count(), (0.45, 0.5, 0.55)

    def draw() -> Mask:
        seed = next(seeds)
        return MaskStrategy(plane_ratio=ratios[seed % 3]).sample_grid(grid, seed)

    def render(*names: str) -> None:
        for name in names:
            views.view(name).render()

    def change() -> None:
        overlays.setMask(draw())

    every = (*SLICES, THREE_D)
    # The windows follow a change as they are told of it; what is timed as changed includes that.
    turns = best_of(
        {
            "changed": change,
            "settle": lambda: render(*every),
            "idle": lambda: render(*every),
            "drawn": lambda: (change(), render(*every)),
        },
        rounds,
    )
    turns |= best_of({"work": lambda: (change(), render(*every))}, rounds, time.process_time)
    slice_node = views.sliceNode(AXIAL)
    turns |= best_of(
        {"scroll": lambda: (slice_node.SetSliceOffset(slice_node.GetSliceOffset() + 1.0), render(AXIAL))},
        rounds,
    )
    bare = OverlayDisplay(grid=False, labels=False, outline=False, mask3d=False)
    overlays.setDisplay(bare)
    turns |= best_of({"boxes": lambda: (change(), render(*SLICES))}, rounds)
    overlays.remove()
    relabel = segmentation(node, grid.lattice_to_ras(np.diag([0.7, 0.7, 1.0, 1.0])), draw())
    turns |= best_of({"segmentation": lambda: (relabel(draw()), render(*SLICES))}, rounds)
    return {name: 1000.0 * seconds for name, seconds in turns.items()}


def segmentation(
    volume_node: slicer.vtkMRMLScalarVolumeNode, lattice_to_ras_matrix: object, mask: Mask
) -> Callable[[Mask], None]:
    """The other way to show a mask in slices, that was measured and not taken; gives what changes it."""
    import slicer
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*mask.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(mask.stages.ravel(), deep=True))
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(lattice_to_ras_matrix))
    node = volume_node.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAllSegmentsVisibility3D(False)
    inner = node.GetSegmentation()
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    inner.SetSourceRepresentationName(representation)
    for stage in (1, 2):
        segment = slicer.vtkSegment()
        segment.SetLabelValue(stage)
        segment.AddRepresentation(representation, image)
        inner.AddSegment(segment, f"stage {stage}")

    def relabel(newer: Mask) -> None:
        scalars = image.GetPointData().GetScalars()
        vtk_to_numpy(scalars)[:] = newer.stages.ravel()
        scalars.Modified()
        image.Modified()
        inner.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
        node.Modified()

    return relabel


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
