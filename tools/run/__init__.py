"""Status and plots of training runs: `python -m tools.run`."""
