"""Reloads MAESILSlicerLib after its files were edited, for the Reload button of Slicer's developer mode."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from types import ModuleType

_PACKAGE = "MAESILSlicerLib"


def reloadLibrary() -> None:
    """Reload the modules that are loaded, each after those that it imports."""
    loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == _PACKAGE}
    for name in _inOrder(loaded):
        importlib.reload(loaded[name])


def _inOrder(modules: dict[str, ModuleType]) -> list[str]:
    """Names of modules, those that others import first."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name in pending:
            return
        pending.add(name)
        for imported in sorted(_importsOf(modules[name], modules)):
            visit(imported)
        ordered.append(name)

    pending: set[str] = set()
    for name in sorted(modules):
        visit(name)
    return ordered


def _importsOf(module: ModuleType, modules: dict[str, ModuleType]) -> set[str]:
    """Names of those modules that a module's file imports when it is loaded."""
    names = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & set(modules) - {module.__name__}
