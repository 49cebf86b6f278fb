"""The rows of the banner: what a run has decided, and why."""

from __future__ import annotations

import torch

from hrm_scale.base.redaction import redact
from hrm_scale.checkpoint import LoadedCheckpoint
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Dataset, DatasetMeta, SplitInfo
from hrm_scale.engine import Engine
from hrm_scale.models import ModelConfig
from hrm_scale.optim.choose import resolve_optimizer
from hrm_scale.training.horizon import Horizon

Row = tuple[str, str, str]


def start_rows(
    run: RunConfig,
    presets: dict[str, str],
    dataset: Dataset,
    horizon: Horizon,
    found: LoadedCheckpoint | None,
) -> list[Row]:
    """What is trained, on what, from where and for how long."""
    meta = dataset.meta
    train = dataset.split("train")
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


def machine_rows(
    run: RunConfig,
    engine: Engine,
    config: ModelConfig,
    parameters: int,
    compiled: tuple[bool, str],
    attention: tuple[str, str],
    dtype_reason: str,
) -> list[Row]:
    """How this machine, and those beside it, will do it."""
    device = engine.device
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"no CUDA GPU in use, {torch.get_num_threads()} threads"
    rows = run.global_batch_size // (run.engine.accumulation * engine.ranks)
    batch = f"{run.global_batch_size}"
    if rows < run.global_batch_size:
        batch += f" = {engine.ranks} ranks x {run.engine.accumulation} micro x {rows}"
    dtype = str(config.forward_dtype).removeprefix("torch.")
    return [
        ("global batch", batch, f"refill {run.data.refill}"),
        ("engine", engine.name, engine.reason),
        ("device", str(device), hardware),
        (
            "parameters",
            f"{parameters:,}",
            f"puzzle table on {run.engine.puzzle_table}, not counted",
        ),
        ("forward dtype", dtype, f"{dtype_reason}; updates are made in float32"),
        ("attention", *attention),
        ("optimizer", *resolve_optimizer(run.optimizer, device)),
        ("compile", str(compiled[0]).lower(), compiled[1]),
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
