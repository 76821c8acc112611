"""Between a MRML scene and MAESIL: nodes to volumes and back, what changes in the scene, and sample data."""
