"""What the code and the pages of docs/ say about each other is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))

#: A citation in a comment or docstring: the page, then the heading up to the next mark.
CITATION = re.compile(r"(?:docs/)?methods\.md.{0,80}")


def headings(page: Path) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def citations() -> list[tuple[str, str]]:
    """What follows `methods.md` in the code, as one line, and where."""
    found = []
    for folder in ("MAESILCore", "MAESILSlicer"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            text = re.sub(r"\s*\n\s*(?:#:? )?", " ", path.read_text(encoding="utf-8"))
            found += [(path.name, match.group()) for match in CITATION.finditer(text)]
    return found


def test_every_heading_that_the_code_cites_is_there() -> None:
    there = headings(REPOSITORY / "docs" / "methods.md")
    cited = citations()
    assert len(cited) > 10
    for name, text in cited:
        place = text.removeprefix("docs/methods.md, ")
        assert place != text, f"{name} cites the page without a heading: {text}"
        assert any(re.match(rf"{re.escape(heading)}\W", place) for heading in there), (
            f"{name} cites {place!r}"
        )


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
