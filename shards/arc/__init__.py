"""Build ARC data sets: `python -m shards.arc`."""
