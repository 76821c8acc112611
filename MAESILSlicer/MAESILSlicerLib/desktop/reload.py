"""Reloads MAESILSlicerLib for the Reload button of Slicer's developer mode."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from types import ModuleType

_PACKAGE = "MAESILSlicerLib"


def reloadLibrary() -> None:
    """Reload all loaded modules in import order."""
    loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == _PACKAGE}
    for name in _inOrder(loaded):
        importlib.reload(loaded[name])


def _inOrder(modules: dict[str, ModuleType]) -> list[str]:
    """Names of modules in import order: dependencies first."""
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
    """Names of the modules that this module's file imports at load time."""
    names = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & set(modules) - {module.__name__}
