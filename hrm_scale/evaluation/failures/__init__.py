"""Which puzzles a model fails, and how: collected while it answers, shown as one HTML page."""

from hrm_scale.evaluation.failures.page import render
from hrm_scale.evaluation.failures.records import FailedPuzzle, FailureReport, Part

__all__ = ["FailedPuzzle", "FailureReport", "Part", "render"]
