"""Make shards of other programs' data sets: `python -m shards.convert`."""
