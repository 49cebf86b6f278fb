"""Answers to single puzzles, step by step, and how they are shown: text, page, animation, files.

Imports: base, data, evaluation, models, puzzles, web.
"""
