"""One run as the planner sees it: its model, its data, its machine and who holds what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.config.schema import RunConfig
from hrm_scale.modelling import choose_dtype, model_config
from hrm_scale.models import ModelConfig, build_model
from hrm_scale.models.attention import resolve_backend
from hrm_scale.models.recursion import latent_states
from hrm_scale.optim.choose import refuse_sharded, state_bytes
from hrm_scale.planning.activations import reading_at
from hrm_scale.planning.hardware import Hardware
from hrm_scale.planning.memory import FP32, Load, Memory, Sharding, keeps_gradients, memory_of
from hrm_scale.planning.tasks import Task, task_of

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Job:
    """`model` has its attention and compilation decided; `parameters` are counted.

    `optimizer_state` are the bytes of moments and averages of all parameters.
    """

    run: RunConfig
    task: Task
    machine: Hardware
    sharding: Sharding
    model: ModelConfig
    parameters: int
    largest_parameter: int
    optimizer_state: int

    @property
    def rows_of_rank(self) -> int:
        return self.run.global_batch_size // self.sharding.ranks

    @property
    def has_table(self) -> bool:
        return self.model.puzzle_emb_ndim > 0


@dataclass(frozen=True)
class Setting:
    """What the planner may choose: none of it changes what is learned."""

    accumulation: int
    checkpointing: bool
    placement: str


def make_job(run: RunConfig, machine: Hardware) -> Job:
    """Raises ConfigError or DataError when there is nothing to plan."""
    task = task_of(run.data_path)
    model = _model_config(run, task)
    with torch.device("meta"):
        named = list(build_model(model).named_parameters())
    sizes = [parameter.numel() for _, parameter in named]
    state = state_bytes(run.optimizer, named) + (FP32 * sum(sizes) if run.ema else 0)
    BatchShape(run.global_batch_size, run.engine.accumulation, machine.ranks)
    sharding = _sharding(run.engine.deepspeed, machine.ranks, model.forward_dtype)
    refuse_sharded(run.optimizer, sharding.stage or 0, run.engine.deepspeed)
    return Job(run, task, machine, sharding, model, sum(sizes), max(sizes), state)


def memory(job: Job, setting: Setting) -> Memory:
    """Bytes of one rank under `setting`."""
    model = replace(job.model, activation_checkpointing=setting.checkpointing)
    rows = job.rows_of_rank // setting.accumulation
    reading = reading_at(
        model,
        rows,
        job.run.arch.loss.loss_type,
        keeps_gradients(setting.accumulation, job.sharding),
    )
    load = Load(
        rows=rows,
        accumulation=setting.accumulation,
        total_len=model.total_len,
        seq_len=model.seq_len,
        vocab_size=model.vocab_size,
        width=model.hidden_size,
        item=model.forward_dtype.itemsize,
        parameters=job.parameters,
        largest_parameter=job.largest_parameter,
        optimizer_state=job.optimizer_state,
        identifiers=job.task.identifiers if job.has_table else 0,
        table_width=model.puzzle_emb_ndim,
        states=latent_states(model),
    )
    found = memory_of(load, reading, job.sharding, setting.placement, job.machine.reserve)
    slack = round(job.machine.slack * found.allocated)
    return replace(found, reserve=found.reserve + slack)


def predicted_peak(job: Job, setting: Setting) -> int:
    """What `torch.cuda.max_memory_allocated` should say after some steps, in bytes."""
    return memory(job, setting).allocated


def given_setting(run: RunConfig) -> Setting:
    """What the command line and presets ask for."""
    engine = run.engine
    return Setting(engine.accumulation, engine.activation_checkpointing, engine.puzzle_table)


def _model_config(run: RunConfig, task: Task) -> ModelConfig:
    arch, engine = run.arch, run.engine
    on_cpu = engine.device == "cpu"
    attention: str = engine.attention
    if attention == "auto":
        attention = "sdpa"
        if on_cpu:
            attention, _ = resolve_backend("auto", torch.device("cpu"), torch.float32, task.seq_len)
    if on_cpu:
        dtype, _ = choose_dtype(arch.forward_dtype, torch.device("cpu"))
        arch = arch.model_copy(update={"forward_dtype": dtype})
    # A model's shape asks two facts of the data, and a task has them as a data set's meta has.
    facts: Any = task
    return model_config(
        arch,
        facts,
        attention=attention,
        compiled=not on_cpu if engine.compile == "auto" else engine.compile,
    )


def _sharding(asked: str, ranks: int, dtype: torch.dtype) -> Sharding:
    """From ``engine.deepspeed``: a DeepSpeed JSON file, or none (auto and off plan for DDP)."""
    if asked in ("auto", "off"):
        return Sharding(ranks)
    try:
        settings: dict[str, Any] = parse_json(read_bytes(Path(asked), _MAX_BYTES, links=True))
        zero = settings.get("zero_optimization") or {}
        stage = zero.get("stage", 0)
        bf16 = (settings.get("bf16") or {}).get("enabled", False)
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"engine.deepspeed={asked} cannot be read as a DeepSpeed JSON file ({error}); allowed:"
            " auto, off, or the path of one (a clone has some in ds_configs)"
        ) from None
    if stage not in (0, 1, 2, 3):
        raise ConfigError(f"{asked}: zero_optimization.stage={stage}; allowed: 0, 1, 2 or 3")
    if bf16 == "auto":
        bf16 = dtype is torch.bfloat16 and stage > 0
    return Sharding(
        ranks,
        stage,
        bf16_parameters=bool(bf16),
        offload_optimizer=_offloads(zero, "offload_optimizer"),
        offload_parameters=_offloads(zero, "offload_param"),
    )


def _offloads(zero: dict[str, Any], name: str) -> bool:
    return (zero.get(name) or {}).get("device", "none") != "none"
