"""What the code and the pages of docs/ say about each other is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
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
        if anchor:  # of a page; a picture has no headings
            anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings(target)}
            assert anchor in anchors, link


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    decisions = sorted(folder.glob("0*.md"))
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == [path.name for path in decisions]
    for path in decisions:
        number, *parts = headings(path)
        assert number.startswith(path.name[:4])
        assert parts == ["Context", "Decision", "Consequences"]


#: Programs in the place of those of SLURM and ours; each process of a job would see such variables.
STAND_INS = {
    "scontrol": '[ "$1" = show ] && printf "first\\nsecond\\n" || echo "$@" > requeued',
    "srun": 'shift; export SLURM_PROCID=5 SLURM_NTASKS=8 SLURM_LOCALID=1 SLURM_NODEID=1; exec "$@"',
    "maesil": """echo "$RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR: $@" > called
exit $STATUS""",
}


@pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="the script is for Linux")
@pytest.mark.parametrize("status", [75, 0, 2])
def test_the_script_for_slurm_starts_each_process_and_queues_the_job_again_after_75(
    tmp_path: Path, status: int
) -> None:
    page = (REPOSITORY / "docs" / "clusters.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```\n(#!/bin/bash\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    for name, text in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "STATUS": str(status),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "some",
        "SLURM_CPUS_PER_TASK": "8",
    }
    ended = subprocess.run(
        ["bash", "-u"], input=script, text=True, cwd=tmp_path, env=variables, capture_output=True, check=False
    )
    assert not ended.stderr
    called = (tmp_path / "called").read_text(encoding="ascii")
    assert called == "5 8 1 4 1 first: pretrain SCANS --out RUN --recipe RECIPE.yaml --continue\n"
    assert (tmp_path / "requeued").exists() == (status == 75)
    if status == 75:
        assert (tmp_path / "requeued").read_text(encoding="ascii") == "requeue 7\n"
