"""Data sets that lie elsewhere: addresses, downloads, and the cache of the node."""
