"""What a training command would do, without doing it: `python -m hrm_scale.train ... --dry-run`.

Composes, checks and builds the model on no device, and works out length and work. Where the data
are not there yet, the known task of that name stands for them. Nothing is written or locked.
"""

from __future__ import annotations

from pathlib import Path

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.redaction import redact
from hrm_scale.checkpoint import latest_valid, read_checkpoint
from hrm_scale.config.schema import RunConfig
from hrm_scale.planning.hardware import GIB, choose_machine
from hrm_scale.planning.job import Job, make_job
from hrm_scale.planning.length import assumed_speed, checkpoint_bytes, length_of
from hrm_scale.planning.memory import FP32, static_bytes
from hrm_scale.reporting import render_banner
from hrm_scale.training.horizon import Horizon, plan_horizon


def dry_run(run: RunConfig, presets: dict[str, str]) -> str:
    """The banner of the run that would start. Raises what the run would: ConfigError, DataError or
    CheckpointError with one line."""
    job = make_job(run, choose_machine(None))
    horizon = plan_horizon(run, job.task.examples_per_epoch, job.model)
    task = job.task
    start, why = _start(run)
    rows = [
        ("experiment", presets.get("experiment", "none"), f"arch {run.arch.name}"),
        ("start", start, why),
        (
            "data",
            redact(run.data_path),
            f"{task.name}, {task.seq_len} tokens of {task.vocab_size}, {task.examples_per_epoch:,g}"
            f" examples an epoch ({task.source if task.given else f'not there: {task.source}'})",
        ),
        *_length_rows(job, horizon),
        (
            "global batch",
            f"{run.global_batch_size}",
            f"{run.engine.accumulation} micro-batches" if run.engine.accumulation > 1 else "",
        ),
        ("parameters", f"{job.parameters:,}", "puzzle table not counted"),
        *_memory_rows(job),
        ("run folder", str(run.checkpoint_path), "untouched"),
    ]
    return render_banner("hrm_scale train: dry run, nothing is started", rows)


def _start(run: RunConfig) -> tuple[str, str]:
    """From where training would begin, and why."""
    if run.resume not in ("auto", "never", "must"):
        return "resumed", str(read_checkpoint(Path(run.resume), check="size").path)
    assert run.checkpoint_path is not None
    found, _ = latest_valid(Path(run.checkpoint_path), hashes=False)
    if found is not None and run.resume == "never":
        raise CheckpointError(f"{run.checkpoint_path} already holds {found.name} and resume=never")
    if found is not None:
        return "resumed", str(found)
    if run.resume == "must":
        raise CheckpointError(f"resume=must, but {run.checkpoint_path} has no checkpoint")
    if run.init_from is not None:
        weights = read_checkpoint(Path(run.init_from), check="size")
        return "from other weights", str(weights.path)
    return "from the beginning", "no earlier checkpoint"


def _length_rows(job: Job, horizon: Horizon) -> list[tuple[str, str, str]]:
    length = length_of(job, horizon.total_steps, horizon.limit, assumed_speed(job, 0.0))
    work = f"{length.flops / 1e9:,.{1 if length.flops > 1e10 else 3}f} GFLOP"
    each = "an example and step"
    if horizon.limit == "max_time":
        return [("length", "until max_time", ""), ("work", work, each)]
    total = f"{length.samples * length.flops:.2e}".replace("e+", "e")
    every = f"evaluated every {horizon.eval_every:,} steps" if horizon.eval_every else ""
    reason = "; ".join(filter(None, (f"set by {horizon.limit}", every)))
    return [
        ("length", f"{length.steps:,} steps = {length.samples:,} samples", reason),
        ("work", work, f"{each}; {total} FLOP in all"),
    ]


def _memory_rows(job: Job) -> list[tuple[str, str, str]]:
    """What does not depend on the machine; activations take a probe of some seconds."""
    table = FP32 * job.task.identifiers * job.model.puzzle_emb_ndim
    static = static_bytes(job.parameters, job.sharding, job.optimizer_state).total
    return [
        (
            "memory",
            _size(static + table),
            "weights, gradients and moments"
            + (f", {_size(table)} of it puzzle table" if table else "")
            + "; with activations and for other GPUs: python -m tools.plan with the same settings",
        ),
        ("checkpoint", _size(checkpoint_bytes(job)), "each, on disk"),
    ]


def _size(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size > 0.1 * GIB else f"{size / 2**20:.1f} MiB"
