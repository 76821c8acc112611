"""The desktop module's face: one panel for each section of the window. Qt is known here and nowhere below."""
