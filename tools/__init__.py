"""Programs beside training: data sets, runs, sweeps, checkpoints, plans, batch scripts."""
