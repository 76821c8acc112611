"""`maesil demo` goes the whole way, with a model too small to be any good."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest
from rich.console import Console

from MAESILCore import cli, read_volume, write_volume
from MAESILCore.cli import demo
from MAESILCore.phantom import make_phantom


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were opened, in a browser that is not there."""
    pages: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda page: pages.append(page) or True)
    monkeypatch.delenv("NO_BROWSER", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return pages


def run(model: Path, out: Path, *more: str) -> int:
    return cli.main(["demo", "--model", str(model), "--out", str(out), "--device", "cpu", *more])


@pytest.mark.slow
def test_without_a_scan_a_phantom_is_filled_in_scored_and_shown(
    tiny_model: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_PHANTOM_SHAPE", (20, 33, 32))
    assert run(tiny_model, tmp_path / "results") == 0
    assert read_volume(tmp_path / "results" / "reconstruction.nii.gz").shape == (20, 33, 32)
    scores = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert scores["model"]["psnr_hidden"] > 0
    assert set(scores["controls"]) >= {"mean", "nearest", "harmonic"}
    expected = {"model": "tiny", "window_hu": [-1000, 1000], "seed": 0, "coverage": 4, "mode": "nested"}
    assert expected.items() <= scores["setup"].items()
    assert (scores["setup"]["masks"], scores["setup"]["scored_masks"]) == (4, 1)
    section = (tmp_path / "results" / "report.html").read_text().split('id="scores-heading"')[1]
    assert "Scores: 1 mask; pictures: mean of 4." in section.split("</section>")[0]
    assert len(set(scores["notes"])) == len(scores["notes"])
    assert (tmp_path / "results" / "report.png").stat().st_size > 10_000
    assert opened == [(tmp_path / "results" / "report.html").as_uri()]


@pytest.mark.slow
def test_a_scan_of_ones_own_is_taken(tmp_path: Path) -> None:
    scan = tmp_path / "mine.nii.gz"
    write_volume(make_phantom((8, 9, 10), seed=3).volume, scan)
    assert demo._read_or_make(scan, Console()).name == "mine"


def test_a_page_that_is_not_to_be_opened_is_only_named(
    tmp_path: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    demo._show(tmp_path / "report.html", Console(soft_wrap=True), no_browser=True)
    assert capsys.readouterr().out == f"Report: {tmp_path / 'report.html'}\n"
    assert opened == []


def test_a_machine_without_a_screen_gets_the_path_only(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    demo._show(tmp_path / "report.html", Console(), no_browser=False)
    assert opened == []
