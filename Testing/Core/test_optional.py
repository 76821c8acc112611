"""Optional packages: asked for in one place, with the command that installs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from MAESILCore import __main__ as command
from MAESILCore.errors import MissingPackageError
from MAESILCore.optional import require


def test_an_installed_package_is_returned() -> None:
    assert require("json.decoder", "A test").JSONDecoder


def test_a_missing_package_comes_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # A part that an earlier test has loaded would be found without its package.
    for loaded in [name for name in sys.modules if name.startswith("lightning_fabric.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(
        MissingPackageError, match=r"Pre-training needs .*: python -m pip install lightning-fabric$"
    ):
        require("lightning_fabric.fabric", "Pre-training")


def test_a_package_broken_in_another_way_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        require("needs_more", "A test")


def test_the_command_without_typer_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    assert command.main() == 2
    assert capsys.readouterr().err == (
        "Error: The maesil command needs the package typer; install it with: python -m pip install typer\n"
    )
