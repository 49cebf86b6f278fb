"""The planned step taken for real on this machine: its peak memory on a GPU, its speed on a CPU."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.models import ActModel, Carry, Draws, ModelConfig, act_loss, build_model, refill
from hrm_scale.models.flops import training_flops
from hrm_scale.optim.choose import make_optimizer
from hrm_scale.optim.ema import WeightAverage
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable
from hrm_scale.planning.hardware import GIB
from hrm_scale.planning.job import Job, Setting, predicted_peak
from hrm_scale.planning.length import Speed, mean_flops
from hrm_scale.planning.probe import zero_batch

if TYPE_CHECKING:
    from hrm_scale.planning.plan import Plan

# Timed steps on a CPU, and about how long one may take.
_TIMED, _SECONDS = 3, 1.0
# The first step makes the optimizer's state; the second is like all later ones.
_STEPS = 3


def measured_peak(job: Job, setting: Setting) -> int:
    """`torch.cuda.max_memory_allocated` after some steps of one process, in bytes.

    Carries, accumulation, table and optimizer are as in `training.step.train_step`; the tokens are
    zeros. Placement `device` only: elsewhere the table is left out. Raises EnvironmentProblem
    without a CUDA GPU and torch.OutOfMemoryError when it does not fit.
    """
    if not torch.cuda.is_available():
        raise EnvironmentProblem("--measure needs a CUDA GPU, and this machine shows none")
    device = torch.device("cuda")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    config = replace(job.model, activation_checkpointing=setting.checkpointing)
    model, optimizer = _built(job, config, device)
    table = None
    if job.has_table:
        # A table elsewhere leaves only the rows of a step on the device.
        rows = job.task.identifiers if setting.placement == "device" else 1
        table = DeviceTable(rows, config.puzzle_emb_ndim, device)
    micro = job.rows_of_rank // setting.accumulation
    batches = [zero_batch(config, micro, device) for _ in range(setting.accumulation)]
    carries = [model.initial_carry(batch) for batch in batches]
    loss_type = job.run.arch.loss.loss_type
    for _ in range(_STEPS):
        carries = _step(model, optimizer, table, carries, batches, loss_type)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def measured_speed(job: Job, setting: Setting) -> Speed:
    """Examples/s of real training steps on this CPU: the planned model and micro-batch, not
    compiled; fewer rows where a step would take more than some seconds."""
    config = replace(job.model, activation_checkpointing=setting.checkpointing, compile=False)
    device = torch.device("cpu")
    model, optimizer = _built(job, config, device)
    # Only the rows of a step are read.
    table = DeviceTable(1, config.puzzle_emb_ndim, device) if job.has_table else None

    def seconds(rows: int) -> float:
        batch = zero_batch(config, rows, device)
        carries = [model.initial_carry(batch)]
        start = time.perf_counter()
        _step(model, optimizer, table, carries, [batch], job.run.arch.loss.loss_type)
        return time.perf_counter() - start

    most = job.rows_of_rank // setting.accumulation
    seconds(1)  # makes the optimizer's state
    rows = 1
    # A row costs less among many: as many as the run has, unless that takes too long.
    while rows < most and seconds(rows) < _SECONDS:
        rows = min(most, 2 * rows)
    rate = rows / median(seconds(rows) for _ in range(_TIMED))
    rate *= training_flops(config, 1) / mean_flops(job)  # taken at full depth
    threads = torch.get_num_threads()
    note = f"{_TIMED} steps of {rows} rows, {threads} thread{'s' * (threads > 1)}, not compiled"
    return Speed(rate, "measured", note)


def _built(job: Job, config: ModelConfig, device: torch.device) -> tuple[ActModel, Optimizer]:
    """The model with the run's optimizer and averages."""
    with device:
        model = build_model(config).train()
    run = job.run
    optimizer = make_optimizer(
        model.named_parameters(),
        device,
        name=run.optimizer,
        betas=(run.beta1, run.beta2),
        weight_decay=run.weight_decay,
    )
    if run.ema:
        WeightAverage(optimizer, run.ema_rate)
    return model, optimizer


def _step(
    model: ActModel,
    optimizer: Optimizer,
    table: PuzzleTable | None,
    carries: list[Carry],
    batches: list[dict[str, torch.Tensor]],
    loss_type: str,
) -> list[Carry]:
    """What the trainer does in one step of one process; old carries live until it ends."""
    done, outputs_kept, gradients = [], [], []
    total = sum(batch["inputs"].shape[0] for batch in batches)
    for carry, batch in zip(carries, batches, strict=True):
        rand = torch.ones(batch["inputs"].shape[0], device=batch["inputs"].device)
        carry = refill(carry, batch)
        vectors = table.gather(0, carry.data["puzzle_identifiers"], carry.halted) if table else None
        carry, outputs = model(carry, vectors, Draws(rand, rand.int()))
        loss, _ = act_loss(outputs, carry, loss_type)
        (loss / total).backward()
        done.append(carry)
        outputs_kept.append(outputs.detach())
        if vectors is not None and vectors.grad is not None:
            gradients.append(vectors.grad)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if table is not None:
        ids = torch.cat([carry.data["puzzle_identifiers"] for carry in done])
        table.update(ids, torch.cat(gradients), 1e-2, 0.1)
    return done


def compare(plan: Plan) -> str:
    """One line: predicted against measured."""
    if plan.job.sharding.ranks > 1:
        raise EnvironmentProblem("--measure takes steps in one process; leave out --gpus, --nodes")
    setting = plan.choice.setting
    predicted, measured = predicted_peak(plan.job, setting), measured_peak(plan.job, setting)
    return (
        f"Measured on {torch.cuda.get_device_name()}: {measured / GIB:.2f} GiB, predicted"
        f" {predicted / GIB:.2f} GiB ({predicted / measured - 1:+.1%})"
    )
