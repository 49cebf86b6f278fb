"""From configuration and data set to the shape of a model."""

from __future__ import annotations

from typing import Any

import torch

from hrm_scale.base.machine import native_bfloat16, require_memory
from hrm_scale.config.schema import ArchConfig
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.models import ModelConfig

TABLE = "inner.puzzle_emb.weights"
"""Name of the puzzle table in checkpoints, the published one."""

# Undecided means bfloat16, as in the checkpoints of versions that recorded no decision.
DTYPES = {"auto": torch.bfloat16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def choose_dtype(asked: str, device: torch.device, recorded: str | None = None) -> tuple[str, str]:
    """The forward dtype for ``arch.forward_dtype`` or ``dtype`` as given, and the reason.

    "auto" is the dtype `recorded` in a checkpoint; without one it is bfloat16 where the device
    computes it natively, and float32 elsewhere.
    """
    if asked != "auto":
        return asked, "as set"
    if recorded is not None:
        return str(DTYPES[recorded]).removeprefix("torch."), "as recorded in the checkpoint"
    native, why = native_bfloat16(device)
    return ("bfloat16" if native else "float32"), why


def model_config(
    arch: ArchConfig,
    meta: DatasetMeta,
    *,
    attention: str,
    compiled: bool,
    activation_checkpointing: bool = False,
) -> ModelConfig:
    """The model's shape for a data set of `meta`'s vocabulary and length."""
    return ModelConfig(
        name=arch.name,
        vocab_size=meta.vocab_size,
        seq_len=meta.seq_len,
        hidden_size=arch.hidden_size,
        num_heads=arch.num_heads,
        H_layers=arch.H_layers,
        L_layers=arch.L_layers,
        H_cycles=arch.H_cycles,
        L_cycles=arch.L_cycles,
        grad_cycles=None if arch.grad_cycles == "all" else arch.grad_cycles,
        expansion=arch.expansion,
        mlp_t=arch.mlp_t,
        conv_kernel=arch.conv_kernel,
        puzzle_emb_ndim=arch.puzzle_emb_ndim,
        puzzle_emb_len=arch.puzzle_emb_len,
        pos_encodings=arch.pos_encodings,
        rope_theta=arch.rope_theta,
        rms_norm_eps=arch.rms_norm_eps,
        halt_max_steps=arch.halt_max_steps,
        halt_exploration_prob=arch.halt_exploration_prob,
        act_enabled=arch.act_enabled,
        q_continue=arch.q_continue,
        random_init=arch.random_init,
        noise_scale=arch.noise_scale,
        relaxation=arch.relaxation,
        forward_dtype=DTYPES[arch.forward_dtype],
        attention=attention,
        compile=compiled,
        activation_checkpointing=activation_checkpointing,
    )


def require_rows(
    key: str, rows: int, ranks: int, config: ModelConfig, device: torch.device
) -> None:
    """Raise EnvironmentProblem when this machine cannot hold one rank's share of the rows at once:
    their tokens and, on a CPU, their carry. key: the setting that asks for the rows."""
    row = 2 * 4 * config.seq_len
    if device.type == "cpu":
        row += config.total_len * config.hidden_size * config.forward_dtype.itemsize
    share = f" over {ranks} processes, one's share," if ranks > 1 else ""
    require_memory(-(-rows // ranks) * row, f"{key}={rows}{share}", f"type a smaller {key}")


def dataset_facts(meta: DatasetMeta) -> dict[str, Any]:
    """What a checkpoint must remember of its data so that the model can be used without them."""
    names = (
        "kind",
        "storage",
        "vocab_size",
        "seq_len",
        "pad_id",
        "ignore_label_id",
        "blank_identifier_id",
        "num_puzzle_identifiers",
        "board",
        "fingerprint",
    )
    return {name: getattr(meta, name) for name in names}
