"""A data set in the browser: `python -m tools.shards view`."""
