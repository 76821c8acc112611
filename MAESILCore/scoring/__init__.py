"""Honest numbers: metrics, controls that need no learning, and evaluations over many scans."""
