"""Build Sudoku data sets: `python -m shards.sudoku`."""
