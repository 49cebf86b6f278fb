"""Where the builders' boards come from: CSV files, the hub, a generator."""
