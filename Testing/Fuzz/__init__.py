"""Mutated scans of every format: each gives the right volume or one sentence."""
