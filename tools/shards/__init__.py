"""Look into data sets: `python -m tools.shards`."""
