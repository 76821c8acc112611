"""Volumes and where they come from: geometry, intensity, and the readers and writers of files."""
