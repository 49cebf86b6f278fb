"""A local page on which a trained model solves what is typed or drawn, step by step.

Imports: base, data, evaluation, models, puzzles, web.
"""
