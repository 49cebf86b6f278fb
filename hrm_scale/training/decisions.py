"""The rows of the banner: what a run has decided, and why."""

from __future__ import annotations

from typing import NamedTuple

import torch

from hrm_scale.base.redaction import redact
from hrm_scale.checkpoint import LoadedCheckpoint
from hrm_scale.data import DatasetMeta, SplitInfo
from hrm_scale.models import ActModel, ModelConfig
from hrm_scale.optim.choose import resolve_optimizer
from hrm_scale.training.parts import RunParts

Row = tuple[str, str, str]


class Reasons(NamedTuple):
    """Why the model computes as it does on this machine."""

    dtype: str
    attention: str
    compile: str


def parameters_of(model: ActModel) -> int:
    """How many numbers are trained, the puzzle table not counted."""
    return sum(parameter.numel() for parameter in model.parameters())


def start_rows(
    parts: RunParts, presets: dict[str, str], found: LoadedCheckpoint | None
) -> list[Row]:
    """What is trained, on what, from where and for how long."""
    run, horizon = parts.config, parts.horizon
    meta, train = parts.dataset.meta, parts.dataset.split("train")
    samples = horizon.total_steps * run.global_batch_size
    start = "from the beginning" if found is None else f"resumed at step {found.step}"
    reason = "no earlier checkpoint" if found is None else str(found.path)
    length = f"{horizon.total_steps} steps" if horizon.limit != "max_time" else "until max_time"
    return [
        ("experiment", presets.get("experiment", "none"), f"arch {run.arch.name}"),
        ("start", start, reason),
        ("data", redact(run.data_path), _data(meta, train)),
        ("length", length, f"set by {horizon.limit}; {samples} samples offered"),
    ]


def _data(meta: DatasetMeta, train: SplitInfo) -> str:
    form = "mixture" if meta.builder.get("name") == "mixture" else meta.storage
    text = f"{meta.kind}, {form}, {train.examples} training examples"
    if meta.num_puzzle_identifiers > 1:
        text += f", {meta.num_puzzle_identifiers} puzzle identifiers"
    return text


def machine_rows(parts: RunParts, reasons: Reasons) -> list[Row]:
    """How this machine, and those beside it, will do it."""
    run, engine, shape, config = parts.config, parts.engine, parts.shape, parts.model.config
    device = engine.device
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"no CUDA GPU in use, {torch.get_num_threads()} threads"
    batch = f"{shape.global_batch_size}"
    if shape.rows < shape.global_batch_size:
        batch += f" = {engine.ranks} ranks x {shape.accumulation} micro x {shape.rows}"
    dtype = str(config.forward_dtype).removeprefix("torch.")
    return [
        ("global batch", batch, f"refill {run.data.refill}"),
        ("engine", engine.name, engine.reason),
        ("device", str(device), hardware),
        (
            "parameters",
            f"{parameters_of(parts.model):,}",
            f"puzzle table on {run.engine.puzzle_table}, not counted",
        ),
        ("forward dtype", dtype, f"{reasons.dtype}; updates are made in float32"),
        ("attention", config.attention, reasons.attention),
        ("optimizer", *resolve_optimizer(run.optimizer, device)),
        ("compile", str(config.compile).lower(), reasons.compile),
        *_checkpointing(config),
    ]


def _checkpointing(config: ModelConfig) -> list[Row]:
    if not config.activation_checkpointing:
        return []
    return [
        (
            "activations",
            "checkpointed",
            "blocks with gradient run twice and keep only their inputs",
        )
    ]
