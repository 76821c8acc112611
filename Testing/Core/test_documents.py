"""The pages of docs/ name nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))


def headings(page: Path) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_the_pages_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.is_file(), link
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings(target)}
        assert not anchor or anchor in anchors, link


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    decisions = sorted(folder.glob("0*.md"))
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == [path.name for path in decisions]
    for path in decisions:
        number, *parts = headings(path)
        assert number.startswith(path.name[:4])
        assert parts == ["Context", "Decision", "Consequences"]
