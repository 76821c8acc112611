"""Training losses, one idea per file."""
