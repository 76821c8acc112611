"""Results of finished jobs in the scene: volumes, tables, plots, comparison views and exported files."""
