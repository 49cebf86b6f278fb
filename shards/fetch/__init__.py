"""Fetch published raw data: `python -m shards.fetch`."""
