"""The reports: slices the right way round, nothing cut off, scores told straight, a page that stands alone."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import VolumeError
from MAESILCore.inference import Reconstruction
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid
from MAESILCore.models.card import Card
from MAESILCore.phantom import make_phantom, phantom_geometry
from MAESILCore.report.figure import report_figure, write_report_png
from MAESILCore.report.page import write_report_html
from MAESILCore.report.planes import PLANES, cuts_to_show, display_frame
from MAESILCore.report.shading import STAGE_COLOURS, hide, nice_limit, rgb, viewing_window
from MAESILCore.report.stack import slice_stack
from MAESILCore.report.summary import best_control, score_rows, shown_metrics

ORIENTATIONS = ["LPS", "RAS", "SAR", "PIL", "ALI"]
SCORES = {
    "model": {"psnr_hidden": 21.5, "ssim_hidden": 0.7, "mae_hu_hidden_body": 50.0, "psnr_unmasked": None},
    "controls": {
        "nearest": {"psnr_hidden": 15.25, "ssim_hidden": 0.75, "mae_hu_hidden_body": 70.0},
        "harmonic": {"psnr_hidden": 18.75, "ssim_hidden": 0.5, "mae_hu_hidden_body": 90.0},
    },
}
CARD = Card(
    name="maesil-test", method="maesil", config={}, window=(-1000, 1000), mask={"mode": "nested"}, step=7,
    data="<two> scans",
)  # fmt: skip


def _reconstruction(volume: Volume, masks: int = 1) -> Reconstruction:
    """A stand-in: the scan with noise for a prediction."""
    grid = SuperpatchGrid(volume.shape, 32, 8)
    mask = MaskStrategy().sample_grid(grid, seed=1)
    scan = np.clip(volume.voxels.astype(np.float32), -1000, 1000)
    predicted = scan + np.random.default_rng(0).normal(0, 60, scan.shape).astype(np.float32)
    hidden = grid.expand(mask.hidden)
    return Reconstruction(
        volume=volume,
        reconstruction=volume.with_voxels(predicted),
        mosaic=volume.with_voxels(np.where(hidden, predicted, scan)),
        error=volume.with_voxels(np.where(hidden, predicted - scan, 0).astype(np.float32)),
        uncertainty=volume.with_voxels(np.abs(predicted - scan)) if masks > 1 else None,
        mask=mask,
        masks=[mask] * masks,
        grid=grid,
        window=Window(),
        notes=("A note <b>with</b> signs.",),
    )


@pytest.fixture(scope="module")
def a_scan() -> Volume:
    return make_phantom((56, 60, 68), seed=1).volume


@pytest.fixture(scope="module")
def a_result(a_scan: Volume) -> Reconstruction:
    return _reconstruction(a_scan)


@pytest.fixture(scope="module")
def a_coverage(a_scan: Volume) -> Reconstruction:
    return _reconstruction(a_scan, masks=8)


def _marked(orientation: str, oblique: float = 0.0) -> Volume:
    """A bright spot at the patient's right, front and top of an otherwise empty grid."""
    shape = (20, 24, 28)
    geometry = phantom_geometry(shape, (4.0, 5.0, 6.0), orientation, oblique)
    k, j, i = np.indices(shape)
    ras = np.einsum("ab,b...->a...", geometry[:3], np.stack([i, j, k, np.ones_like(i)]).astype(float))
    middle = ras.reshape(3, -1).mean(axis=1)
    corner = (ras - middle[:, None, None, None]).sum(axis=0)
    voxels = np.zeros(shape, dtype=np.int16)
    voxels[np.unravel_index(np.argmax(corner), shape)] = 1000
    return Volume(voxels, geometry)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("oblique", [0.0, 12.0])
def test_patient_right_front_and_top_are_shown_at_left_up_and_first(orientation: str, oblique: float) -> None:
    volume = _marked(orientation, oblique)
    frame = display_frame(volume)
    down, back, left = np.argwhere(frame.turn(volume.voxels) == 1000)[0]
    assert (down, back, left) == (0, 0, 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_spacing_follows_the_axes(orientation: str) -> None:
    volume = _marked(orientation)
    frame = display_frame(volume)
    extent = np.multiply(frame.turn(volume.voxels).shape, frame.spacing)
    by_letter = {
        letter: n * s for letter, n, s in zip(orientation, volume.shape[::-1], volume.spacing, strict=True)
    }
    expected = [next(by_letter[c] for c in pair if c in by_letter) for pair in ("SI", "AP", "RL")]
    np.testing.assert_allclose(extent, expected)


@pytest.mark.slow
def test_the_cuts_pass_through_the_body_and_leave_the_air_out(a_scan: Volume) -> None:
    frame = display_frame(a_scan)
    shown = frame.turn(a_scan.voxels)
    cuts = cuts_to_show(shown, frame.spacing, True, np.ones(shown.shape, bool))
    assert tuple(cut.plane for cut in cuts) == PLANES
    for cut in cuts:
        picture = cut.of(shown)
        assert (picture > -400).mean() > 0.3
        assert cut.size == pytest.approx(np.multiply(picture.shape, cut.pixel))
    assert cuts[0].size[0] < 0.95 * shown.shape[1] * frame.spacing[1]


def test_the_cuts_of_an_empty_volume_show_all_of_it() -> None:
    nothing = np.zeros((6, 8, 10))
    cuts = cuts_to_show(nothing, (1.0, 1.0, 1.0), True, nothing)
    assert [cut.of(nothing).shape for cut in cuts] == [(8, 10), (6, 10), (6, 8)]


@pytest.mark.parametrize("start", [(0, 0, 0), (16, 16, 24), (40, 48, 56)])
def test_the_cuts_pass_through_the_middle_of_a_hidden_region(
    a_scan: Volume, start: tuple[int, int, int]
) -> None:
    frame = display_frame(a_scan)
    region = np.zeros(a_scan.shape, dtype=bool)
    region[tuple(slice(first, first + 8) for first in start)] = True
    hidden = frame.turn(region)
    middle = np.argwhere(hidden).mean(axis=0)
    for cut in cuts_to_show(frame.turn(a_scan.voxels), frame.spacing, True, hidden):
        assert abs(cut.index - middle[cut.fixed]) < 1
        assert cut.of(hidden).sum() == 64


def test_the_cuts_pass_where_something_is_hidden_when_the_middle_shows_all(a_scan: Volume) -> None:
    frame = display_frame(a_scan)
    hidden = np.ones(frame.turn(a_scan.voxels).shape, dtype=bool)
    hidden[12:-12] = False
    assert all(
        cut.of(hidden).any() for cut in cuts_to_show(frame.turn(a_scan.voxels), frame.spacing, True, hidden)
    )


def test_hidden_patches_are_covered_and_visible_ones_are_not() -> None:
    grey = np.full((16, 24), 0.5)
    stages = np.zeros((16, 24), dtype=np.uint8)
    stages[:8, :8], stages[8:, 16:] = 1, 2
    picture = hide(grey, stages, 8, 4)
    assert picture.shape == (64, 96, 3)
    np.testing.assert_array_equal(picture[:32, 32:], 0.5)
    first, second = picture[:32, :32].reshape(-1, 3), picture[32:, 64:].reshape(-1, 3)
    for pixels, stage in ((first, 1), (second, 2)):
        colour = rgb(STAGE_COLOURS[stage])
        # Nothing but shades of the stage's colour: no trace of the scan.
        np.testing.assert_allclose(
            pixels, pixels.max(axis=1, keepdims=True) / colour.max() * colour, atol=1e-6
        )
    # Stripes tell the second stage from the first without any colour.
    assert second.max(axis=1).std() > 3 * first[100:].max(axis=1).std()


@pytest.mark.parametrize(("size", "expected"), [(0.0, 20.0), (18.0, 20.0), (130.0, 150.0), (900.0, 1000.0)])
def test_colour_bars_end_at_round_numbers(size: float, expected: float) -> None:
    assert nice_limit(np.full((4, 4, 4), size)) == expected


def test_a_volume_without_hu_is_shown_in_its_own_range() -> None:
    volume = Volume(np.random.default_rng(0).uniform(0, 0.8, (16, 16, 16)).astype(np.float32), np.eye(4))
    window = viewing_window(volume)
    assert 0 <= window.low < 0.05
    assert 0.7 < window.high <= 0.8


def _texts(result: Reconstruction, scan: Volume, scores: dict | None) -> list[tuple[str, np.ndarray]]:
    """All texts of the picture with the boxes they fill, pixels."""
    figure = report_figure(result, scan, scores, title="A scan", model="maesil-small")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            found.append((text.get_text(), text.get_window_extent(canvas.get_renderer()).extents))
    for _, box in found:
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= figure.bbox.width
        assert box[3] <= figure.bbox.height
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scores", [SCORES, SCORES | {"setup": {"scored_masks": 1}}, None])
@pytest.mark.parametrize("masks", [1, 8])
def test_no_text_of_the_picture_is_cut_off_or_overlaps_another(
    a_scan: Volume, a_result: Reconstruction, a_coverage: Reconstruction, masks: int, scores: dict | None
) -> None:
    texts = _texts(a_result if masks == 1 else a_coverage, a_scan, scores)
    for (one, a), (other, b) in combinations(texts, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one!r} overlaps {other!r}"


def test_the_picture_tells_scores_and_controls_and_the_disclaimer_once(
    a_scan: Volume, a_result: Reconstruction
) -> None:
    words = [text for text, _ in _texts(a_result, a_scan, SCORES)]
    assert "21.50 dB" in words
    assert "best control (harmonic): 18.75 dB" in words
    assert "best control (nearest): 0.750" in words
    assert "best control (nearest): 70.0 HU" in words
    assert sum("Research use only" in text for text in words) == 1
    assert {"R", "L", "A", "P", "S", "I"} <= set(words)
    assert any(text.endswith(" cm") for text in words)


def _of_soft_tissue(shape: tuple[int, int, int] = (40, 48, 48)) -> Volume:
    """A body of 40 HU in air, at its middle a gland of 60 HU."""
    scan = np.full(shape, -1000, dtype=np.int16)
    scan[:, 8:40, 8:40] = 40
    scan[16:24, 20:28, 20:28] = 60
    return Volume(scan, np.diag([-4.0, -4.0, 4.0, 1.0]))


@pytest.mark.slow
def test_a_body_of_soft_tissue_has_a_row_with_a_narrow_error_scale() -> None:
    scan = _of_soft_tissue()
    said = [text for text, _ in _texts(_reconstruction(scan), scan, None) if text.startswith("Soft tissue")]
    assert said == [
        "Soft tissue: grey values and errors inside −175 to 250 HU, error colours up to ±100 HU"  # noqa: RUF001
    ]
    plain, soft = (len(report_figure(_reconstruction(each), each).axes) for each in (_chest(), scan))
    assert soft == plain + 4


def _chest() -> Volume:
    """The same body, hollow."""
    scan = _of_soft_tissue()
    scan.voxels[:, 10:38, 10:38] = -850
    return scan


def test_the_soft_tissue_row_shows_errors_inside_its_window() -> None:
    scan = _of_soft_tissue()
    result = _reconstruction(scan)
    scan.voxels[:, 8:18, 8:40] = 260  # above the window, so that errors above it vanish
    result.error.voxels[:] = 30.0
    images = [image for axes in report_figure(result, scan).axes for image in axes.images]
    (narrow,) = (np.asarray(image.get_array()) for image in images if image.get_clim() == (-100, 100))
    (cut, *_) = cuts_to_show(scan.voxels, scan.spacing[::-1], True, np.ones(scan.shape))
    shown = cut.of(scan.voxels)
    np.testing.assert_array_equal(narrow, np.where((shown >= 40) & (shown <= 60), 30, 0))


def test_a_coverage_shows_its_uncertainty(a_scan: Volume, a_coverage: Reconstruction) -> None:
    words = [text for text, _ in _texts(a_coverage, a_scan, None)]
    assert "Uncertainty" in words
    assert "Masked (1 of 8)" in words


@pytest.mark.slow
def test_the_picture_tells_when_its_scores_are_of_other_masks(
    a_scan: Volume, a_coverage: Reconstruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"Voxels": "1024 x 1024 x 1000", "Voxel size": "0.703 x 0.703 x 0.625 mm",
            "Superpatches": "512 of 128 x 128 x 128 voxels (8 x 8 x 8)", "Mask": "Four"}  # fmt: skip
    monkeypatch.setattr("MAESILCore.report.legends.facts", lambda *_: list(long.items()))
    texts = _texts(a_coverage, a_scan, SCORES | {"setup": {"scored_masks": 1}})
    (said,) = (box for text, box in texts if text == "Scores: 1 mask; pictures: mean of 8")
    (grid,) = (box for text, box in texts if text.startswith("1024"))
    assert grid[2] < said[0]
    words = [text for text, _ in _texts(a_coverage, a_scan, SCORES | {"setup": {"masks": 8}})]
    assert not any("Scores: " in text for text in words)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ["LPS", "SAR"])
def test_the_picture_of_any_orientation_is_the_same(orientation: str) -> None:
    shape = (40, 44, 48)
    shape = shape if orientation == "LPS" else (48, 44, 40)
    scan = make_phantom(
        shape, ijk_to_ras=phantom_geometry(shape, (8.0, 8.0, 8.0), orientation), noise_hu=0.0
    ).volume
    frame = display_frame(scan)
    shown = frame.turn(scan.voxels)
    liver_side = shown[24:30, 15:30, 12:20].mean()
    stomach_side = shown[24:30, 15:30, 28:36].mean()
    assert shown.shape == (40, 44, 48)
    assert liver_side > stomach_side


@pytest.mark.slow
def test_a_picture_is_written_whole_or_not_at_all(
    a_scan: Volume, a_result: Reconstruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report_png(a_result, a_scan, SCORES, tmp_path / "report.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(VolumeError, match="No space left on device"):
        write_report_png(a_result, a_scan, SCORES, path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.png"]
    assert path.read_bytes() == before


def test_only_scores_that_exist_are_shown() -> None:
    assert [metric.key for metric in shown_metrics(SCORES)] == [
        "psnr_hidden",
        "ssim_hidden",
        "mae_hu_hidden_body",
    ]
    assert best_control({"model": {"psnr_hidden": 1.0}}, shown_metrics(SCORES)[0]) is None


def test_the_best_of_each_column_of_the_table_is_marked() -> None:
    model, nearest, harmonic = (cells for _, cells in score_rows(SCORES, shown_metrics(SCORES)))
    assert model == [("21.50", True), ("0.700", False), ("50.0", True)]
    assert nearest == [("15.25", False), ("0.750", True), ("70.0", False)]
    assert harmonic == [("18.75", False), ("0.500", False), ("90.0", False)]


def test_without_a_control_nothing_is_the_best() -> None:
    alone = {"model": SCORES["model"]}
    assert not any(is_best for _, cells in score_rows(alone, shown_metrics(alone)) for _, is_best in cells)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_page_s_mask_lies_where_the_voxels_were_hidden(orientation: str) -> None:
    shape = (29, 35, 42)
    scan = Volume(np.full(shape, 40, dtype=np.int16), phantom_geometry(shape, (2.0, 2.5, 3.0), orientation))
    result = _reconstruction(scan)
    stack = slice_stack(result, scan, Window(-1000, 1000))
    frame = display_frame(scan)
    expected = frame.turn(result.grid.expand(result.mask.stages))
    rows, columns = np.array(stack["rowEdges"]), np.array(stack["columnEdges"])
    for number in (0, len(stack["layers"]) // 2, len(stack["layers"]) - 1):
        layer = stack["stages"][stack["layers"][number]]
        drawn = np.array([int(stage) for stage in layer]).reshape(len(rows) - 1, len(columns) - 1)
        down = np.searchsorted(rows, (np.arange(expected.shape[1]) + 0.5) / expected.shape[1]) - 1
        across = np.searchsorted(columns, (np.arange(expected.shape[2]) + 0.5) / expected.shape[2]) - 1
        np.testing.assert_array_equal(drawn[np.ix_(down, across)], expected[number])


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "SAR"])
def test_the_page_s_slices_go_from_head_to_feet(orientation: str) -> None:
    scan = _marked(orientation)
    positions = slice_stack(_reconstruction(scan), scan, Window())["positions"]
    assert (np.diff(positions) < 0).all()


@pytest.fixture(scope="module")
def a_page(a_scan: Volume, a_coverage: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_report_html(a_coverage, a_scan, SCORES, path, "A <scan> & more", card=CARD)


@pytest.mark.slow
def test_the_page_is_one_file_that_asks_the_network_for_nothing(a_page: Path) -> None:
    html = a_page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", html)
    assert "default-src 'none'" in html
    assert "{{" not in html.split('id="scan">')[0]
    assert a_page.stat().st_size < 3_000_000


def test_the_page_says_what_an_error_shows_and_what_not(a_page: Path) -> None:
    lead = a_page.read_text(encoding="utf-8").split('<p class="lead">')[1].split("</p>")[0]
    for words in ("edges, bone, vessels and gas", "do not detect disease", "hide all of it"):
        assert words in lead


def test_the_page_escapes_what_comes_from_outside(a_page: Path) -> None:
    html = a_page.read_text(encoding="utf-8")
    assert "A &lt;scan&gt; &amp; more" in html
    assert "A note &lt;b&gt;with&lt;/b&gt; signs." in html
    assert "&lt;two&gt; scans" in html
    assert "<scan>" not in html


def test_the_page_shows_the_scores_and_marks_the_best(a_page: Path) -> None:
    html = a_page.read_text(encoding="utf-8")
    for text in ("21.50", "0.750", "50.0"):
        assert f"<strong>{text}</strong>" in html
    assert html.count("<strong>") == 3
    assert "best control (harmonic): 18.75 dB" in html
    assert "soft-tissue" not in html


def test_scores_in_the_soft_tissue_window_have_their_own_table(
    a_scan: Volume, a_result: Reconstruction, tmp_path: Path
) -> None:
    both = SCORES | {"model": SCORES["model"] | {"soft_tissue": {"psnr_hidden": 12.34}}}
    html = write_report_html(a_result, a_scan, both, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "12.34" in html.split("soft-tissue window")[1]
    assert html.count("<table>") == 2


def test_the_page_says_once_that_it_is_for_research(a_page: Path) -> None:
    assert a_page.read_text(encoding="utf-8").count("Research use only") == 1


def test_the_page_holds_every_slice_of_every_panel(a_page: Path) -> None:
    html = a_page.read_text(encoding="utf-8")
    viewer = json.loads(html.split('id="scan">')[1].split("</script>")[0])
    counts = {panel["key"]: len(panel["pictures"]) for panel in viewer["panels"]}
    slices = len(viewer["positions"])
    assert slices > 40
    assert counts == {
        "original": slices,
        "masked": 0,
        "reconstruction": slices,
        "error": slices,
        "uncertainty": slices,
    }


@pytest.mark.slow
def test_even_a_large_scan_of_pure_noise_makes_a_page_of_a_few_megabytes(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).normal(0, 20, (64, 64, 64)).astype(np.int16)
    scan = Volume(np.tile(grain, (1, 6, 6)), np.diag([-1.0, -1.0, 1.0, 1.0]))
    result = _reconstruction(scan)
    path = write_report_html(result, scan, None, tmp_path / "large.html")
    assert path.stat().st_size < 12_000_000


def test_a_browser_draws_the_page_and_obeys_the_keyboard(chromium: str, a_page: Path, tmp_path: Path) -> None:
    script = """<script>
    const say = (name, text) => document.body.setAttribute("data-" + name, text);
    window.addEventListener("error", (event) => say("failed", event.message));
    window.addEventListener("load", () => window.setTimeout(() => {
      say("before", document.getElementById("place").textContent);
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
      say("after", document.getElementById("place").textContent);
      window.setTimeout(() => {
        const canvases = [...document.querySelectorAll(".frame canvas")];
        const drawn = canvases.filter((canvas) => {
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return new Set(pixels).size > 20;
        });
        say("drawn", drawn.length + " of " + canvases.length);
      }, 500);
    }, 500));
    </script></head>"""
    page = tmp_path / "page.html"
    page.write_text(a_page.read_text(encoding="utf-8").replace("</head>", script), encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=6000", "--window-size=1280,720",
        "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    body = re.search(r"<body[^>]*>", dom)
    assert body is not None
    told = dict(re.findall(r'data-(\w+)="([^"]*)"', body.group()))
    assert "failed" not in told
    assert told["drawn"] == "5 of 5"
    before, after = (int(re.findall(r"Slice (\d+)", told[name])[0]) for name in ("before", "after"))
    assert after == before + 1


def test_a_mask_that_hides_nothing_makes_a_report_too(a_scan: Volume, tmp_path: Path) -> None:
    result = _reconstruction(a_scan)
    empty = Mask(np.zeros_like(result.mask.stages))
    nothing = a_scan.with_voxels(np.zeros(a_scan.shape, dtype=np.float32))
    result = Reconstruction(
        a_scan, result.reconstruction, result.mosaic, nothing, None, empty, [empty], result.grid, Window()
    )
    assert write_report_png(result, a_scan, None, tmp_path / "a.png").exists()
    assert write_report_html(result, a_scan, None, tmp_path / "a.html").exists()


def test_the_reports_of_a_model_that_sees_everything_tell_of_nothing_hidden(
    a_scan: Volume, a_result: Reconstruction, tmp_path: Path
) -> None:
    nothing = Mask(np.zeros_like(a_result.mask.stages))
    result = replace(a_result, mask=nothing, masks=[nothing], sees_all=True)
    for scores in (None, {"model": {"psnr_full": 20.25}, "controls": {}}):
        words = [text for text, _ in _texts(result, a_scan, scores)]
        assert "Input" in words
        assert "Nothing hidden: the model saw the whole scan" in words
        assert not any("mask" in text.lower() or "Hidden" in text for text in words)
    assert "20.25 dB" in words
    write_report_html(result, a_scan, None, tmp_path / "a.html", card=replace(CARD, name="vae", method="vae"))
    page = " ".join((tmp_path / "a.html").read_text(encoding="utf-8").split())
    assert "Nothing was hidden: the model vae saw the whole scan that it returns" in page
    assert "predicted them from the rest" not in page


@pytest.mark.parametrize("shape", [(1, 9, 9), pytest.param((3, 40, 5), marks=pytest.mark.slow)])
def test_thin_volumes_make_a_report_too(shape: tuple[int, int, int], tmp_path: Path) -> None:
    scan = make_phantom(shape).volume
    result = _reconstruction(scan)
    assert write_report_png(result, scan, None, tmp_path / "a.png").exists()
    assert write_report_html(result, scan, None, tmp_path / "a.html").exists()
