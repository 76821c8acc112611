"""What a finished job brings into the scene: volumes, tables, plots, comparison views, and files to save."""
