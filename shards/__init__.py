"""Builders of data sets, one folder each: `python -m shards.NAME`."""
