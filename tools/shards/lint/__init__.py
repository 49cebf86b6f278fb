"""Check what the rows of a data set mean: `python -m tools.shards lint`."""
