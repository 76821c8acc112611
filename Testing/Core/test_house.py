"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import MAESILCore

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "MAESILCore"


@pytest.mark.process
def test_importing_the_library_loads_neither_numpy_nor_torch() -> None:
    program = "import sys, MAESILCore; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    loaded = set(done.stdout.split())
    assert "MAESILCore" in loaded
    assert not loaded & {"numpy", "torch", "scipy", "SimpleITK", "monai", "pydantic", "typer"}


@pytest.mark.parametrize("name", MAESILCore.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(MAESILCore, name) is not None
    assert name in dir(MAESILCore)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Volum'"):
        MAESILCore.Volum  # noqa: B018 - the look-up itself is what fails


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guarded = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    seen = {
        alias.name: node.module
        for node in guarded
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(seen) == sorted(MAESILCore.__all__)
    for name, module in seen.items():
        assert module == f"MAESILCore.{MAESILCore._HOME_OF[name]}"


def test_no_public_name_is_also_a_module() -> None:
    """A function called like a module would be hidden as soon as that module is imported."""
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert not modules & set(MAESILCore.__all__)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_library_neither_prints_nor_unpickles(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}
    assert not names & {"print", "pickle.load", "pickle.loads", "pickle.dump", "pickle.dumps"}
    keywords = {keyword.arg: ast.unparse(keyword.value) for call in calls for keyword in call.keywords}
    assert keywords.get("allow_pickle", "False") == "False"
    assert keywords.get("weights_only", "True") == "True"


def test_the_stand_in_for_slicer_does_not_grow() -> None:
    """It is frozen: fidelity comes from a real Slicer, not from imitating more (docs/decisions/0010-stand-in.md).

    Only a class of widgets that the module has not used before is a reason to raise this number.
    """
    lines = sum(len(path.read_text().splitlines()) for path in (REPOSITORY / "Testing" / "Host").glob("*.py"))
    assert lines <= 979
