"""Other records, shards, codec or storage of a data set: `python -m tools.shards repack`."""
