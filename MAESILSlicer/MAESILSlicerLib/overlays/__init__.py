"""Overlays of a volume: the grid of superpatches, the mask in slices and in 3D, and labels."""
