"""Draws the pictures of the page for the README: real server, bundled model, phantom, an installed Chromium.

A run is shown on the CTs of MAESIL_DATA, or, without them, on phantoms.

python Testing/Web/screenshots.py [FOLDER]
"""

from __future__ import annotations

import os
import shutil
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from serving import serving

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "MAESILSlicer"))
#: Of the shown run.
STEPS, VALIDATIONS = 80, 4
#: Enough for a phantom on one busy core.
PATIENCE_MS = 300_000
#: After the last change, until the last view has drawn at full quality.
SETTLE_MS = 4_000


def save(page: Page, path: Path) -> None:
    """Store what the page shows, with few enough colours to be small."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(SETTLE_MS)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256).save(path, optimize=True)


def pretrain(page: Page, root: Path, data: Path) -> None:
    """Start a run in the folder of the server, wait for previews, and show the newest one beside the curve."""
    from MAESILSlicerLib.session.board import Board

    board = Board()
    board.open(root)
    held_out = sorted(data.iterdir())[-1].name
    recipe = {
        "model": {"residual_fill": True},
        "hold_out": [held_out],
        "validate_every": STEPS // 8,
        "warmup_steps": 20,
    }
    board.start([data], preset="tiny", steps=STEPS, device="cpu", overrides=recipe)
    for summary in page.locator(".panel > details[open] > summary").all()[::-1]:
        summary.click()
    page.get_by_test_id("pretraining").locator("summary").click()
    page.get_by_test_id("pretrain_hold_out").fill(held_out)
    page.get_by_test_id("pretrain_hold_out").press("Tab")
    page.get_by_test_id("pretrain_preset").select_option("tiny")
    page.get_by_test_id("runs").get_by_role("button").click()
    previews = page.get_by_test_id("run_previews").locator("option")
    previews.nth(VALIDATIONS - 1).wait_for(state="attached", timeout=3 * PATIENCE_MS)
    page.get_by_test_id("run_curve").select_option("score psnr_hidden")
    page.get_by_test_id("run_preview").click()
    expect(page.get_by_test_id("notice")).to_contain_text("its reconstruction")
    page.get_by_test_id("run_preview").scroll_into_view_if_needed()


def training_scans(folder: Path) -> Path:
    """A folder of scans, the one for validation last."""
    scans = folder / "CT scans"
    scans.mkdir()
    data = os.environ.get("MAESIL_DATA")
    for scan in sorted((Path(data) / "train").glob("LIDC*_CT.nii.gz")) if data else ():
        (scans / scan.name).symlink_to(scan)
    if not any(scans.iterdir()):
        from MAESILCore.data.volume import write_volume
        from MAESILCore.phantom import make_phantom

        for seed in range(3):
            write_volume(make_phantom((96, 128, 128), seed=seed).volume, scans / f"phantom-{seed}.nii.gz")
    return scans


def main(folder: Path) -> None:
    """Write `page-masks.png`, `page-results.png` and `page-pretrain.png`."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("There is no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as place,
        serving(
            *("--device", "cpu", "--data", str(training_scans(Path(place)))),
            *("--runs", f"{place}/runs"),
        ) as served,
        sync_playwright() as playwright,
    ):
        playwright.selectors.set_test_id_attribute("data-test")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(served.address)
        reconstruct = page.get_by_test_id("reconstruct")
        expect(reconstruct).to_be_enabled()
        save(page, folder / "page-masks.png")
        reconstruct.click()
        expect(page.get_by_test_id("scores")).to_be_visible()
        page.get_by_test_id("scores").scroll_into_view_if_needed()
        save(page, folder / "page-results.png")
        pretrain(page, Path(place) / "runs", Path(place) / "CT scans")
        save(page, folder / "page-pretrain.png")
        page.get_by_test_id("run_stop").click()
        expect(page.get_by_test_id("runs").get_by_role("button")).not_to_contain_text("Running")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "Resources" / "Screenshots")
