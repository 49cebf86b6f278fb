"""Portable atomic checkpoints: safetensors and JSON in a folder that is valid or not there.

A run keeps them in `<run folder>/checkpoints/step-XXXXXXXX/`; `docs/resume.md` describes them.

Imports: base.
"""

from hrm_scale.checkpoint.averages import AVERAGES, AveragedMoments, split_averages
from hrm_scale.checkpoint.background import BackgroundSaves
from hrm_scale.checkpoint.best import mark_best
from hrm_scale.checkpoint.discovery import latest_valid
from hrm_scale.checkpoint.fit import (
    require_carry,
    require_fit,
    require_moments,
    require_resumable,
    require_table,
    require_tokens,
)
from hrm_scale.checkpoint.loaded import FOLDER_KEY, LoadedCheckpoint, read_checkpoint
from hrm_scale.checkpoint.manager import CheckpointManager, CheckpointNotSaved
from hrm_scale.checkpoint.parts import (
    carried_slots,
    carry_part_name,
    changed_settings,
    pack_optimizer,
    read_carry,
    read_table,
    table_part_name,
    unpack_optimizer,
)
from hrm_scale.checkpoint.ranks import Ranks
from hrm_scale.checkpoint.retention import set_aside_after
from hrm_scale.checkpoint.tensor_file import write_tensors

__all__ = [
    "AVERAGES",
    "FOLDER_KEY",
    "AveragedMoments",
    "BackgroundSaves",
    "CheckpointManager",
    "CheckpointNotSaved",
    "LoadedCheckpoint",
    "Ranks",
    "carried_slots",
    "carry_part_name",
    "changed_settings",
    "latest_valid",
    "mark_best",
    "pack_optimizer",
    "read_carry",
    "read_checkpoint",
    "read_table",
    "require_carry",
    "require_fit",
    "require_moments",
    "require_resumable",
    "require_table",
    "require_tokens",
    "set_aside_after",
    "split_averages",
    "table_part_name",
    "unpack_optimizer",
    "write_tensors",
]
