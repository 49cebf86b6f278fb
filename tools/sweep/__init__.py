"""Grids of runs and their comparison: `python -m tools.sweep`."""
