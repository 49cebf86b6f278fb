"""Metrics of an evaluation: one file per metric, listed in `registry.py`.

docs/evaluation.md says how to add one.
"""
