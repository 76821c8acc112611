"""Switches the main window to a layout of MAESIL and back to the user's layout."""

from __future__ import annotations

import slicer

#: Prefix of the layout node's attribute, before our layout's number; an attribute survives a reload and a save.
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
        # A fallback: closing the scene removes node attributes but keeps the layout.
        self._before: str | None = None

    def isOn(self, layoutNode: slicer.vtkMRMLLayoutNode) -> bool:
        """Whether this is the current layout of the main window."""
        return layoutNode.GetViewArrangement() == self._layoutId

    def describe(self, description: str, layoutNode: slicer.vtkMRMLLayoutNode | None = None) -> None:
        """Change the layout; if it is on, the change is shown at once."""
        hasChanged, self._description = description != self._description, description
        if layoutNode is None or not layoutNode.IsLayoutDescription(self._layoutId):
            return
        if hasChanged or layoutNode.GetLayoutDescription(self._layoutId) != description:
            layoutNode.SetLayoutDescription(self._layoutId, description)
            if self.isOn(layoutNode):
                layoutNode.SetViewArrangement(self._layoutId)

    def register(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Register the layout; if it is on, as in a scene loaded earlier, it is shown at once."""
        if layoutNode.IsLayoutDescription(self._layoutId):
            return
        layoutNode.AddLayoutDescription(self._layoutId, self._description)
        if self.isOn(layoutNode):
            # Only this call makes the node look up the description.
            layoutNode.SetViewArrangement(self._layoutId)

    def on(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Show the whole layout; views are no longer maximized."""
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
        """Restore the previous layout, unless the user has chosen another one meanwhile."""
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
