"""Benchmarks: `make bench` prints the table; ratios are taken side by side in one run."""
