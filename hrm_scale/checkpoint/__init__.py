"""Portable atomic checkpoints: safetensors and JSON in a folder that is valid or not there.

A run keeps them in `<run folder>/checkpoints/step-XXXXXXXX/`; `docs/resume.md` describes them.
"""

from hrm_scale.checkpoint.discovery import latest_valid
from hrm_scale.checkpoint.loaded import LoadedCheckpoint, read_checkpoint
from hrm_scale.checkpoint.manager import CheckpointManager, CheckpointNotSaved
from hrm_scale.checkpoint.parts import (
    carried_slots,
    carry_part_name,
    changed_settings,
    pack_optimizer,
    read_carry,
    read_table,
    require_fit,
    require_table,
    table_part_name,
    unpack_optimizer,
)
from hrm_scale.checkpoint.ranks import Ranks
from hrm_scale.checkpoint.retention import set_aside_after

__all__ = [
    "CheckpointManager",
    "CheckpointNotSaved",
    "LoadedCheckpoint",
    "Ranks",
    "carried_slots",
    "carry_part_name",
    "changed_settings",
    "latest_valid",
    "pack_optimizer",
    "read_carry",
    "read_checkpoint",
    "read_table",
    "require_fit",
    "require_table",
    "set_aside_after",
    "table_part_name",
    "unpack_optimizer",
]
