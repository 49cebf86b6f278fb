"""Test-time scaling: more ACT steps and several trajectories for each puzzle."""

from hrm_scale.evaluation.scaling.measure import Scaling
from hrm_scale.evaluation.scaling.table import render_scaling

__all__ = ["Scaling", "render_scaling"]
