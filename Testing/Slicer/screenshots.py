"""Draws the pictures of the module's window for the README: the module itself, in the host that its tests use.

Run by `make screenshots`; it needs no screen and takes some minutes. A run is shown on the CTs of MAESIL_DATA, or,
without them, on phantoms.
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FOLDER = REPOSITORY / "Resources" / "Screenshots"
sys.path[:0] = [str(REPOSITORY / "MAESILSlicer"), str(HERE)]

from hosting import Host, makeApplication, opened  # noqa: E402
from segmentpictures import drawSegmentation  # noqa: E402

#: Columns and rows.
SIZE = (1280, 720)
MOST_BYTES = 700_000
#: The picked point, as shares of the sample from right to left, back to front, bottom to top: the spine.
PICKED = (0.5, 0.4, 0.5)
#: Steps of the shown run, and its validations when the picture is drawn.
STEPS, VALIDATIONS = 120, 5


def openWindow(host: Host) -> None:
    """Open the module with its sample, as a person does."""
    host.window.resize(*SIZE)
    widget = host.open()
    host.ui.systemSection.collapsed = False
    host.wait(lambda: widget.window.system.report is not None, 120)
    host.ui.systemSection.collapsed = True
    host.click(host.ui.sampleButton)


def reconstruct(host: Host) -> None:
    """Press the button and wait for the results."""
    host.click(host.ui.reconstructButton)
    session = host.widget.logic.session
    host.wait(lambda: not session.isRunning, 1800)
    if session.results is None:
        raise SystemExit(session.message)


def askFeatures(host: Host) -> None:
    """Compute features, and pick the point in the middle of the axial view."""
    import slicer
    import vtk

    ui, session = host.ui, host.widget.logic.session
    for name in ("volume", "mask", "display", "reconstruct", "results"):
        getattr(ui, f"{name}Section").collapsed = True
    host.click(ui.featureButton)
    host.wait(lambda: not session.isRunning, 1800)
    host.click(ui.featurePickButton)
    scene = host.scene
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") or scene.AddNewNodeByClass(
        "vtkMRMLCrosshairNode"
    )
    node = session.volumeNode
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    point = [
        low + share * (high - low) for low, high, share in zip(bounds[::2], bounds[1::2], PICKED, strict=True)
    ]
    from MAESILSlicerLib.results.comparison import jumpTo

    jumpTo(scene, tuple(point))
    crosshair.SetCursorPositionRAS(point)
    view = host.app.layoutManager().sliceWidget("Red").sliceView()
    view.interactor().InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
    host.process()
    if not slicer.util.getNodes("*similarity"):
        raise SystemExit(host.ui.statusLabel.text)


def trainingScans() -> tuple[Path, str]:
    """A folder of scans, and the one for validation. Its path is relative, so that the picture shows no others."""
    folder = Path("CT scans")
    folder.mkdir()
    data = os.environ.get("MAESIL_DATA")
    for scan in sorted((Path(data) / "train").glob("*_CT.nii.gz")) if data else ():
        (folder / scan.name).symlink_to(scan)
    chests = sorted(folder.glob("LIDC*"))
    if chests:
        return folder, chests[-1].name
    from MAESILCore.data.volume import write_volume
    from MAESILCore.phantom import make_phantom

    for seed in range(3):
        write_volume(make_phantom((96, 128, 128), seed=seed).volume, folder / f"phantom-{seed}.nii.gz")
    return folder, "phantom-2.nii.gz"


def pretrain(host: Host) -> None:
    """Start a run, show its newest preview, and plot its validations beside the scan of its previews."""
    import slicer

    scans, heldOut = trainingScans()
    logic, ui = host.widget.logic, host.ui
    recipe = {
        "model": {"residual_fill": True},
        "hold_out": [heldOut],
        "validate_every": STEPS // 8,
        "warmup_steps": 20,
    }
    run = logic.startPretraining(scans, preset="tiny", steps=STEPS, device="cpu", overrides=recipe)
    for name in ("volume", "mask", "display", "reconstruct", "results", "system"):
        getattr(ui, f"{name}Section").collapsed = True
    ui.pretrainSection.collapsed = False
    ui.scansEdit.setText(str(scans))
    ui.presetComboBox.setCurrentIndex(ui.presetComboBox.findData("tiny"))
    ui.holdOutEdit.setText(heldOut)
    host.process()
    ui.runsTable.setCurrentCell(0, 0)
    host.wait(lambda: ui.previewComboBox.count >= VALIDATIONS, 900)
    # The preview's volumes stay in the scene when its layout is left.
    host.click(ui.previewButton)
    host.click(ui.previewButton)
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    scan = next(node for node in volumes if "step" in node.GetName())
    for logicOfView in host.app.layoutManager().mrmlSliceLogics():
        logicOfView.GetSliceCompositeNode().SetBackgroundVolumeID(scan.GetID())
        logicOfView.FitSliceToAll()
    ui.curveComboBox.setCurrentIndex(1)
    host.click(ui.curveButton)
    host.scrollTo(ui.scansEdit)
    host.scrollTo(ui.curveButton)
    save(host, "pretrain.png")
    logic.board.stop(run)
    host.wait(lambda: logic.runs()[0].state != "running", 120)


def save(host: Host, name: str) -> None:
    """Write a picture of the window that is small enough for a repository."""
    # Sentences of two lines need several layouts.
    for _ in range(20):
        host.process()
    path = host.grab(FOLDER / name)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} is larger than {MOST_BYTES} bytes.")


def main() -> None:
    """Draw all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, opened(makeApplication(), Path(folder)) as host:
        os.chdir(folder)
        os.environ["MAESIL_RUNS"] = "runs"
        openWindow(host)
        save(host, "module-masks.png")
        reconstruct(host)
        # Room for the scores.
        host.ui.maskSection.collapsed = True
        host.scrollTo(host.ui.superpatchTable)
        save(host, "module-results.png")
        askFeatures(host)
        save(host, "module-features.png")
        host.closeScene()
        pretrain(host)
        host.closeScene()
        drawSegmentation(host, partial(save, host))


if __name__ == "__main__":
    main()
