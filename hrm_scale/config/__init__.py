"""What a run is: key names, presets, validation, and where each value came from.

`compose.compose` turns a command line into a validated, frozen configuration; `usage.usage` and
`keys` need neither Hydra nor pydantic, so that ``--help`` answers at once. Nothing here imports
torch.

Imports: base.
"""
