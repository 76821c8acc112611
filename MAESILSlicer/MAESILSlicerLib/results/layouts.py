"""A layout of our own in the main window for a while, and the user's layout back afterwards."""

from __future__ import annotations

import slicer

#: Attribute of the layout node, with our layout's number after it, so that the way back survives a reload and a save.
_BEFORE = "MAESIL.layoutBefore."


class LayoutSwitch:
    """Switches the main window to one layout and back.

    Args:
        layoutId: number of the layout in a vtkMRMLLayoutNode; Slicer's own ones are below 1000.
        description: the layout as XML.
    """

    def __init__(self, layoutId: int, description: str) -> None:
        self._layoutId, self._description = layoutId, description
        self._attribute = f"{_BEFORE}{layoutId}"
        # For scenes that are closed in between, which takes the attributes of nodes away but not the layout.
        self._before: str | None = None

    def isOn(self, layoutNode: slicer.vtkMRMLLayoutNode) -> bool:
        """Whether this is the layout of the main window now."""
        return layoutNode.GetViewArrangement() == self._layoutId

    def describe(self, description: str, layoutNode: slicer.vtkMRMLLayoutNode | None = None) -> None:
        """Change the layout; where it is on already, it is shown as it is now."""
        hasChanged, self._description = description != self._description, description
        if layoutNode is None or not layoutNode.IsLayoutDescription(self._layoutId):
            return
        if hasChanged or layoutNode.GetLayoutDescription(self._layoutId) != description:
            layoutNode.SetLayoutDescription(self._layoutId, description)
            if self.isOn(layoutNode):
                layoutNode.SetViewArrangement(self._layoutId)

    def register(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Make the layout known; where it is on already, as in a scene that was loaded before, it is shown now."""
        if layoutNode.IsLayoutDescription(self._layoutId):
            return
        layoutNode.AddLayoutDescription(self._layoutId, self._description)
        if self.isOn(layoutNode):
            # Only this makes the node look the description up.
            layoutNode.SetViewArrangement(self._layoutId)

    def on(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Show the layout, as a whole even if the user has one view maximized."""
        self.register(layoutNode)
        if not self.isOn(layoutNode):
            self._remember(layoutNode)
        layoutNode.RemoveAllMaximizedViewNodes()
        layoutNode.SetViewArrangement(self._layoutId)

    def _remember(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        maximized = [
            layoutNode.GetMaximizedViewNode(index).GetID()
            for index in range(layoutNode.GetNumberOfMaximizedViewNodes())
        ]
        self._before = " ".join([str(layoutNode.GetViewArrangement()), *maximized])
        layoutNode.SetAttribute(self._attribute, self._before)

    def off(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Bring back what was shown before; a layout that the user has chosen meanwhile stays."""
        before = layoutNode.GetAttribute(self._attribute) or self._before
        layoutNode.RemoveAttribute(self._attribute)
        self._before = None
        if not self.isOn(layoutNode):
            return
        layoutNode.RemoveAllMaximizedViewNodes()
        if before is None:
            layoutNode.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
            return
        arrangement, *maximized = before.split()
        layoutNode.SetViewArrangement(int(arrangement))
        for viewId in maximized:
            viewNode = layoutNode.GetScene().GetNodeByID(viewId)
            if viewNode is not None:
                layoutNode.AddMaximizedViewNode(viewNode)
