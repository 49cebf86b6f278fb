"""From shards on disk to batches: records, windows, streams, the loader, mixtures."""
