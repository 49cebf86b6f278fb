"""Models in the formats of other programs, read and written (docs/interchange.md).

Imports: base, checkpoint, config, data, modelling, models, puzzles, reporting, transfer.
"""
