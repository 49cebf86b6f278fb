"""Batch scripts for SLURM: `python -m tools.slurm`."""
