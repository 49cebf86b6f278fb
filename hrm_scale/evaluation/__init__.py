"""Honest evaluation: exact accuracy first, always beside trivial baselines."""
