"""The desktop module's face: one panel per section of the window. Only this package uses Qt."""
