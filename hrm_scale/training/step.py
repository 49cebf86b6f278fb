"""One optimizer step: K micro-steps on owned slices of the carry, then one update of everything.

Its random numbers are functions of the seed, the step and the slot alone; its metric sums are
reduced over ranks where they are logged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.config.schema import RunConfig
from hrm_scale.engine import Engine
from hrm_scale.models import Carry, Draws, Outputs, act_loss, refill
from hrm_scale.models.recursion import Cycles
from hrm_scale.optim.puzzle_table import PuzzleTable


@dataclass(frozen=True)
class StepSettings:
    """Learning rates and decay of one step, what its loss is, and its depth (None: full)."""

    lr: float
    puzzle_emb_lr: float
    puzzle_emb_weight_decay: float
    global_batch_size: int
    loss_type: str
    cycles: Cycles | None = None


@dataclass(frozen=True)
class StepResult:
    """What a step leaves: the new carries, the metric sums of this rank's slots (on the device,
    losses over all rows, the rest over halted rows), the inside view of each micro-step, and
    whether anything was updated (None before that is decided)."""

    carries: list[Carry]
    metrics: dict[str, Tensor]
    micro: list[MicroStep]
    updated: bool | None = None


@dataclass(frozen=True)
class MicroStep:
    """Inside view of one micro-step, for parity checks and guards."""

    loss: Tensor
    outputs: Outputs
    puzzle_grads: Tensor | None


def train_step(
    engine: Engine,
    table: PuzzleTable | None,
    carries: Sequence[Carry],
    batches: Sequence[dict[str, Tensor]],
    draws: Sequence[Draws | None],
    settings: StepSettings,
    *,
    before_update: Callable[[StepResult], None] | None = None,
    check: Callable[[StepResult, float], bool] | None = None,
) -> StepResult:
    """One optimizer step over the slots of this rank.

    `carries`, `batches` and `draws` have one entry per micro-step. The loss is the sum over all
    rows of all ranks divided by the global batch size. `before_update` sees the result while
    gradients are complete (`engine.gradients`); `check` is given the result and the gradient norm,
    the same on every rank. When it returns False, or they raise, parameters and table stay as they
    were.
    """
    micro: list[MicroStep] = []
    new_carries: list[Carry] = []
    sums: dict[str, Tensor] = {}
    for index, (carry, batch, draw) in enumerate(zip(carries, batches, draws, strict=True)):
        carry = refill(carry, batch)
        vectors = None
        if table is not None:
            ids = carry.data["puzzle_identifiers"]
            vectors = table.gather(index, ids, fresh=carry.halted)
        with engine.exchange(last=index == len(carries) - 1):
            carry, outputs = engine.forward(carry, vectors, draw, settings.cycles)
            loss, metrics = act_loss(outputs, carry, settings.loss_type)
            engine.backward(loss / settings.global_batch_size)
        new_carries.append(carry)
        grads = None if vectors is None else engine.leaf_gradient(vectors)
        micro.append(MicroStep(loss.detach(), outputs.detach(), grads))
        for name, value in metrics.items():
            sums[name] = sums[name] + value if name in sums else value

    result = StepResult(new_carries, sums, micro)
    if before_update is not None:
        before_update(result)
    updated = engine.step(settings.lr, None if check is None else partial(check, result))
    if table is not None and updated:
        ids = torch.stack([carry.data["puzzle_identifiers"] for carry in new_carries])
        grads = torch.stack([m.puzzle_grads for m in micro if m.puzzle_grads is not None])
        ids, grads = _of_all_slots(engine, ids, grads)
        table.update(ids, grads, settings.puzzle_emb_lr, settings.puzzle_emb_weight_decay)
    return replace(result, updated=updated)


def _of_all_slots(engine: Engine, ids: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """Identifiers int32 [K, B] and gradients fp32 [K, B, E] of this rank's micro-steps and slots as
    those of all ranks, [G] and [G, E] in slot order, so that sums over slots do not depend on how
    many ranks there are. One collective: the identifiers travel as one more column."""
    if engine.ranks > 1:
        rows = torch.cat((ids.view(torch.float32).unsqueeze(-1), grads), dim=-1)
        rows = engine.gather_rows(rows.unsqueeze(0)).transpose(0, 1)
        ids, grads = rows[..., 0].contiguous().view(torch.int32), rows[..., 1:]
    return ids.flatten(), grads.reshape(ids.numel(), -1)


def exploration_draws(
    seed: int, step: int, global_batch_size: int, halt_max_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The halting coin and minimum of every slot at a step: float32 [G] in [0, 1), int32 [G] in
    2..halt_max_steps. A function of (seed, step) and the slot alone: neither the number of ranks
    nor accumulation changes what a slot draws, and a resumed run needs no generator state."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    rand = generator.random(global_batch_size, dtype=np.float32)
    randint = generator.integers(
        2, max(halt_max_steps, 2), size=global_batch_size, dtype=np.int32, endpoint=True
    )
    return rand, randint


def noise_keys(seed: int, step: int, global_batch_size: int) -> np.ndarray:
    """The key of every slot's noise at a step: int64 [G], a function of (seed, step) and the slot
    alone, as the exploration draws are."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 1, step]))
    return generator.integers(2**63, size=global_batch_size, dtype=np.int64)


def draws_of(run: RunConfig, shape: BatchShape, engine: Engine, step: int) -> list[Draws]:
    """The draws of this rank's slots at a step, one entry a micro-step, on its device."""
    batch, arch = shape.global_batch_size, run.arch
    whole = [*exploration_draws(run.seed, step, batch, arch.halt_max_steps)]
    if arch.random_init or arch.noise_scale:
        whole.append(noise_keys(run.seed, step, batch))
    draws = []
    for micro in range(shape.accumulation):
        slots = slice(*shape.slots(micro, engine.rank))
        mine = (torch.from_numpy(values[slots]) for values in whole)
        draws.append(Draws(*(values.to(engine.device, non_blocking=True) for values in mine)))
    return draws


def reduced_metrics(
    engine: Engine, sums: dict[str, Tensor], global_batch_size: int, lr: float
) -> dict[str, float]:
    """What the training loop logs for one step, under the reference's names.

    Losses are means over all rows of the global batch; everything else is a mean over the rows
    that halted, so that `train/count` itself is 1, or 0 when no row did. One packed all-reduce and
    one transfer to the host: call it on logging steps only.
    """
    names = sorted(sums)
    packed = torch.stack([sums[name].to(torch.float64) for name in names])
    values = dict(zip(names, engine.sum(packed).tolist(), strict=True))
    halted = max(values["count"], 1.0)
    logged = {
        f"train/{name}": value / (global_batch_size if name.endswith("loss") else halted)
        for name, value in values.items()
    }
    logged["train/lr"] = lr
    return logged
