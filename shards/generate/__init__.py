"""Build data sets of any kind that has a generator: `python -m shards.generate KIND`."""
