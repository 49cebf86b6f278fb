"""One optimizer step: K micro-steps on owned slices of the carry, then one update of everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from hrm_scale.engine import Engine
from hrm_scale.models import Carry, Draws, Outputs, act_loss, refill
from hrm_scale.models.recursion import Cycles
from hrm_scale.optim.puzzle_table import PuzzleTable


@dataclass(frozen=True)
class Rates:
    """Learning rates and decay of one step."""

    lr: float
    puzzle_emb_lr: float
    puzzle_emb_weight_decay: float


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
    rates: Rates,
    *,
    global_batch_size: int,
    loss_type: str,
    cycles: Cycles | None = None,
    before_update: Callable[[StepResult], None] | None = None,
    check: Callable[[StepResult, float], bool] | None = None,
) -> StepResult:
    """One optimizer step over the slots of this rank.

    `carries`, `batches` and `draws` have one entry a micro-step. The loss is the sum over all rows
    of all ranks divided by `global_batch_size`. `before_update` sees the result while gradients
    are complete (`engine.gradients`); `check` is given the result and the gradient norm, the same
    on every rank. When it returns False, or they raise, parameters and table stay as they were.
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
            carry, outputs = engine.forward(carry, vectors, draw, cycles)
            loss, metrics = act_loss(outputs, carry, loss_type)
            engine.backward(loss / global_batch_size)
        new_carries.append(carry)
        grads = None if vectors is None else engine.leaf_gradient(vectors)
        micro.append(MicroStep(loss.detach(), outputs.detach(), grads))
        for name, value in metrics.items():
            sums[name] = sums[name] + value if name in sums else value

    result = StepResult(new_carries, sums, micro)
    if before_update is not None:
        before_update(result)
    updated = engine.step(rates.lr, None if check is None else partial(check, result))
    if table is not None and updated:
        ids = torch.stack([carry.data["puzzle_identifiers"] for carry in new_carries])
        grads = torch.stack([m.puzzle_grads for m in micro if m.puzzle_grads is not None])
        ids, grads = _of_all_slots(engine, ids, grads)
        table.update(ids, grads, rates.puzzle_emb_lr, rates.puzzle_emb_weight_decay)
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
