"""Scoring: metrics, controls without learning, and evaluations of several scans."""
