"""Draws the pictures of the page for the README: real server, bundled model, phantom, an installed Chromium.

python Testing/Web/screenshots.py [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from serving import serving

REPOSITORY = Path(__file__).resolve().parents[2]
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


def main(folder: Path) -> None:
    """Write `page-masks.png` and `page-results.png`."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("There is no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with serving("--device", "cpu") as served, sync_playwright() as playwright:
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
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "Resources" / "Screenshots")
