"""Optimizers, the puzzle table and the learning-rate schedule.

Imports: base.
"""
