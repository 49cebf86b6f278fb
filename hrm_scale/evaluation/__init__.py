"""Honest evaluation: exact accuracy first, always beside trivial baselines.

Imports: base, checkpoint, config, data, engine, modelling, models, optim, puzzles, reporting,
transfer, web.
"""
