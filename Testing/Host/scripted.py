"""What a scripted module's classes inherit, as far as the module needs it."""

from __future__ import annotations

import unittest
from pathlib import Path

import slicer
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QToolButton

from .ctkwidgets import ctkCollapsibleButton


class ScriptedLoadableModule:
    """A module's description."""

    def __init__(self, parent: object) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    """A module's panel."""

    def __init__(self, parent: slicer.qMRMLWidget) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent, self.layout = parent, parent.layout()
        self.developerMode = slicer.util.settingsValue(
            "Developer/DeveloperMode", False, converter=slicer.util.toBool
        )
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )
            self.cleanup()

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        """In developer mode, put the section "Reload & Test" above the module; only Reload does something."""
        if not self.developerMode:
            return
        self.reloadCollapsibleButton = ctkCollapsibleButton()
        self.reloadCollapsibleButton.text = "Reload && Test"
        self.layout.addWidget(self.reloadCollapsibleButton)
        self.reloadButton, test = QPushButton("Reload"), QToolButton()
        self.reloadButton.clicked.connect(self.onReload)
        test.text = "Reload and Test"
        rows = QFormLayout(self.reloadCollapsibleButton)
        for buttons in (
            (self.reloadButton, test, QPushButton("Restart Slicer")),
            (QPushButton("Edit"), QPushButton("Edit UI")),
        ):
            row = QHBoxLayout()
            for button in buttons:
                row.addWidget(button)
            rows.addRow(row)

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """A module's logic, which keeps its choices in a singleton node of the scene."""

    def __init__(self, parent: object = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> slicer.vtkMRMLScriptedModuleNode:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = slicer.mrmlScene.AddNode(node)
        # Closing the scene takes the attribute away.
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's test of itself."""

    def delayDisplay(self, message: str) -> None:
        slicer.util.delayDisplay(message, 50)
