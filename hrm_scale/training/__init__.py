"""The training loop and all that a run needs around it: steps, saves, guards, stops, resume.

Imports: base, checkpoint, config, data, engine, evaluation, interchange, modelling, models, optim,
planning, reporting, transfer.
"""
