"""The files of a data set: `dataset.json`, index, shards; written, read back and checked."""
