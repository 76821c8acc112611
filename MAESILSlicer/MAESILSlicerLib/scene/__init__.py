"""Converts between MRML nodes and MAESIL's types, observes changes in the scene and provides the sample."""
