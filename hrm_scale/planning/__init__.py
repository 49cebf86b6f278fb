"""What a run will need before it is started: memory, disk, network and time.

Imports: base, config, data, modelling, models, optim.
"""
