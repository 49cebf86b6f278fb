"""Build data sets of mazes: `python -m shards.maze`."""
