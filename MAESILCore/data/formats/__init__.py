"""The file formats: readers return a `Scan`, writers take one, and formats are independent of each other."""
