"""The entry for Slicer's Extensions Index, held against the rules of its checker; the needed ones are copied here."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

#: slicer-extension-catalog-entry-schema-v1.0.2.json: each key that is permitted, with its type.
SCHEMA = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}
REQUIRED = {"$schema", "category", "scm_url"}

#: Of the accepted categories those that would fit.
CATEGORIES = {"Analysis", "Filtering", "Tomographic Reconstruction"}
IMAGES = (".png", ".jpg", ".jpeg", ".gif")


@pytest.fixture
def file(repository: Path) -> Path:
    return repository / "Resources" / "Catalog" / "MAESIL.json"


@pytest.fixture
def entry(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture
def cmake(repository: Path) -> str:
    """The root CMakeLists.txt."""
    return (repository / "CMakeLists.txt").read_text(encoding="utf-8")


def metadata(cmake: str, name: str) -> str:
    """A variable of the extension's metadata; the checker wants it on one line and in double quotes."""
    match = re.search(rf'^set\({name} "([^"\n]+)"\)$', cmake, re.MULTILINE)
    assert match is not None, f"no {name} on one line"
    return match.group(1)


def test_the_entry_follows_the_schema(entry: dict[str, Any]) -> None:
    assert set(entry) >= REQUIRED
    for key, value in entry.items():
        assert key in SCHEMA, f"{key} is not permitted"
        assert type(value) is SCHEMA[key]
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry.get("scm_type", "git") in ("git", "local")
    assert 1 <= entry.get("tier", 1) <= 5
    assert all(isinstance(name, str) for name in entry["build_dependencies"])


def test_the_entry_is_formatted_as_the_index_wants_it(file: Path, entry: dict[str, Any]) -> None:
    written = file.read_bytes()
    assert b"\r" not in written
    assert b"\t" not in written
    assert written.decode() == json.dumps(entry, indent=2) + "\n"


def test_the_name_of_the_entry_is_the_name_of_the_project(file: Path, cmake: str) -> None:
    project = re.search(r"^project\((\w+)\)$", cmake, re.MULTILINE)
    assert project is not None
    assert file.stem == project.group(1)
    assert not file.stem.lower().startswith("slicer")


def test_the_category_is_one_of_those_accepted(entry: dict[str, Any]) -> None:
    assert entry["category"] in CATEGORIES


def test_the_repository_is_named_as_the_index_wants_it(entry: dict[str, Any], cmake: str) -> None:
    assert entry["scm_url"].startswith("https://")
    assert entry["scm_url"].rpartition("/")[2].startswith("Slicer")
    assert metadata(cmake, "EXTENSION_HOMEPAGE") == entry["scm_url"]


def test_what_is_built_first_is_what_is_installed_along(entry: dict[str, Any], cmake: str) -> None:
    assert metadata(cmake, "EXTENSION_DEPENDS").split() == entry["build_dependencies"]


def test_every_picture_lies_where_its_address_says(
    entry: dict[str, Any], cmake: str, repository: Path
) -> None:
    owner = entry["scm_url"].removeprefix("https://github.com/")
    start = f"https://raw.githubusercontent.com/{owner}/{entry['scm_revision']}/"
    icon = metadata(cmake, "EXTENSION_ICONURL")
    for url in (icon, *metadata(cmake, "EXTENSION_SCREENSHOTURLS").split()):
        assert url.startswith(start)
        assert url.endswith(IMAGES)
        assert (repository / url.removeprefix(start)).is_file(), url


def test_the_icon_is_a_png_of_128_by_128(cmake: str, repository: Path) -> None:
    header = (repository / "Resources" / "Icons" / "MAESIL.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert struct.unpack(">II", header[16:24]) == (128, 128)
    assert metadata(cmake, "EXTENSION_ICONURL").endswith("/Resources/Icons/MAESIL.png")


def test_no_screenshot_is_larger_than_a_megabyte(repository: Path) -> None:
    for picture in (repository / "Resources" / "Screenshots").iterdir():
        assert picture.stat().st_size <= 10**6, picture.name


def test_the_description_can_be_read_by_anybody(cmake: str) -> None:
    description = metadata(cmake, "EXTENSION_DESCRIPTION")
    assert 1 <= description.count(". ") + 1 <= 3
    assert len(description) < 400
    assert description.endswith(".")


def test_there_is_a_license_in_the_root(repository: Path) -> None:
    assert (repository / "LICENSE").is_file() or (repository / "LICENSE.txt").is_file()
