"""Test-time scaling: more ACT steps and several trajectories for each puzzle."""
