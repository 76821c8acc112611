"""README and model card quote the same figures, and say what they mean where people look first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MODELS = ("maesil-plus", "biharmonic", "harmonic", "nearest", "mean")


def rows_of(text: str) -> list[list[str]]:
    """The cells of all table rows that begin with a model or a control."""
    rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line[:1] == "|"
    ]
    return [row for row in rows if row[0] in MODELS and len(row) > 3]


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def card(repository: Path) -> str:
    return (repository / "Resources" / "Models" / "maesil-plus.md").read_text(encoding="utf-8")


def test_readme_quotes_the_table_of_the_card(readme: str, card: str) -> None:
    wide, narrow = rows_of(card)[:5], rows_of(card)[5:]
    assert [row[0] for row in narrow] == list(MODELS)
    for row, whole, soft in zip(rows_of(readme), wide, narrow, strict=True):
        name, psnr, ssim, body, error, blockiness, soft_psnr, soft_body = row
        assert [name, psnr, ssim, body, blockiness] == [whole[0], whole[1], whole[2], whole[3], whole[9]]
        assert [name, soft_psnr, soft_body] == [soft[0], soft[1], soft[3]]
        mean, deviation = (round(float(part)) for part in whole[8].split(" ± "))
        assert error == f"{mean} ± {deviation} HU"


def test_both_say_first_where_the_model_is_better_and_where_it_is_not(readme: str, card: str) -> None:
    beginnings = readme.split("## What the scores say")[1].split("\n|")[0], card.split("## Data")[0]
    for beginning in beginnings:
        for words in ("+2.09 ± 0.83 dB", "+0.98 ± 0.57 dB", "too dark", "inside the body", "blurred"):
            assert words in beginning, words


def test_both_name_the_command_the_grid_and_the_limits_of_an_error_map(readme: str, card: str) -> None:
    for text in (readme, card):
        assert re.search(
            r"maesil evaluate \S+ --exclude 'elastix_3DCT_lung_baseline_small\*' --coverage 8 --json", text
        )
        for words in ("1.83 ± 0.21", "1.01 ± 0.03", "AUROC 0.39", "outside test", "hide all of it"):
            assert words in text, words
        assert not re.search(r"@[A-Z]+@", text)
