"""Look into checkpoints and convert them: `python -m tools.checkpoint`."""
