"""Volumes: geometry, intensity, and readers and writers of files."""
