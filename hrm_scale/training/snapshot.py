"""The state of a run as named tensors and JSON, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import CheckpointError
from hrm_scale.checkpoint import (
    AVERAGES,
    AveragedMoments,
    LoadedCheckpoint,
    carried_slots,
    carry_part_name,
    read_carry,
    read_table,
    require_carry,
    require_fit,
    require_moments,
    require_table,
    require_tokens,
    split_averages,
    table_part_name,
)
from hrm_scale.data.format.meta import IGNORE_LABEL
from hrm_scale.engine import Engine
from hrm_scale.modelling import TABLE
from hrm_scale.models import ActModel, Carry
from hrm_scale.optim.choose import state_keys
from hrm_scale.optim.puzzle_table import PuzzleTable


@dataclass
class TrainState:
    """What changes while a run trains, but for the model, the optimizer and the table.

    `step` optimizer steps and `position` samples are done. `carries` holds one slice of slots a
    micro-step, None before the first step. `sums` are the metric sums of the `sum_steps` steps
    since the last log line. `evaluated` is the last step whose evaluation was finished, `finished`
    the one at which the run was over, its last evaluation included.
    """

    step: int = 0
    position: int = 0
    carries: list[Carry] | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    sum_steps: int = 0
    evaluated: int = 0
    finished: int = 0


def take(
    engine: Engine,
    table: PuzzleTable | None,
    state: TrainState,
    shape: BatchShape,
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Checkpoint parts of this rank, and the JSON of the run's counters; every rank calls it."""
    parts: dict[str, dict[str, Tensor]] = {}
    parameters, moments = engine.full_parameters(), engine.full_moments()
    if engine.rank == 0:
        if engine.average is not None:
            moments, parts[AVERAGES] = split_averages(moments, parameters)
        parts["model"] = {**dict(engine.model.named_buffers()), **parameters}
        parts["optimizer"] = moments
    if table is not None:
        lo, hi = table.owned
        whole = (lo, hi) == (0, table.num_identifiers)
        if hi > lo and (engine.rank == 0 or not whole):
            parts[table_part_name(lo, hi, whole)] = {TABLE: table.owned_rows()}
    for micro, carry in enumerate(state.carries or ()):
        slots = shape.slots(micro, engine.rank)
        parts[carry_part_name(*slots)] = _carry_tensors(carry)
    names = sorted(state.sums)
    sums: list[list[float]] = []
    if names:
        # By rank, not added up: in another order they would round to another last bit.
        mine = torch.stack([state.sums[name] for name in names])
        sums = engine.gather_rows(mine.unsqueeze(0)).T.tolist()
    counters = {
        "samples": state.position,
        "sum_steps": state.sum_steps,
        "evaluated": state.evaluated,
        "finished": state.finished,
        "sums": dict(zip(names, sums, strict=True)),
    }
    return parts, counters


def load_model(
    checkpoint: LoadedCheckpoint,
    model: ActModel,
    table: PuzzleTable | None,
    global_batch: int,
    optimizer: str = "adam_atan2",
) -> None:
    """Load the weights, before the engine takes the model. Raises CheckpointError, before anything
    is changed, when the checkpoint is of another model, table, batch size or kind of optimizer."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    require_fit(checkpoint, "model", expected)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    keys = {name: state_keys(optimizer, name, p) for name, p in model.named_parameters()}
    require_moments(checkpoint, shapes, keys)
    if AVERAGES in checkpoint.parts:
        require_fit(checkpoint, AVERAGES, shapes)
    if table is not None:
        require_table(checkpoint, TABLE, (table.num_identifiers, table.width))
    # Fewer slots than were saved could be read, but the others would be lost without a word.
    if (slots_saved := carried_slots(checkpoint)) != global_batch:
        raise CheckpointError(
            f"{checkpoint.path} was written with global_batch_size={slots_saved}, this run has"
            f" {global_batch}: type global_batch_size={slots_saved}, or choose another run_name"
        )
    require_carry(checkpoint, _one_slot(model))
    top = model.config.vocab_size - 1
    limits = {"data/inputs": (0, top), "data/labels": (IGNORE_LABEL, top)}
    if table is not None:
        limits["data/puzzle_identifiers"] = (0, table.num_identifiers - 1)
    require_tokens(checkpoint, limits)
    model.load_state_dict(dict(checkpoint.part("model").items()))


def put_back(
    checkpoint: LoadedCheckpoint,
    engine: Engine,
    table: PuzzleTable | None,
    state: TrainState,
    shape: BatchShape,
    dtype: torch.dtype,
) -> None:
    """Load optimizer, table and `state`, after `load_model`. The position in the data is left to
    the caller: a run that goes back past bad samples keeps its own. dtype: of the carry."""
    carries = []
    for micro in range(shape.accumulation):
        slots = shape.slots(micro, engine.rank)
        tensors = read_carry(checkpoint, *slots)
        carries.append(_carry({name: t.to(engine.device) for name, t in tensors.items()}, dtype))

    averaging = engine.average is not None
    engine.load_moments(AveragedMoments(checkpoint) if averaging else checkpoint.part("optimizer"))
    if table is not None:
        table.load_rows(read_table(checkpoint, TABLE, *table.owned))
    counters = checkpoint.state
    sums = {
        name: torch.tensor(_own(by_rank, engine), dtype=torch.float64, device=engine.device)
        for name, by_rank in counters["sums"].items()
    }
    state.step = checkpoint.step
    state.carries = carries
    state.sums, state.sum_steps = sums, counters["sum_steps"]
    state.evaluated, state.finished = counters["evaluated"], counters["finished"]


def evaluations_done(checkpoint: LoadedCheckpoint) -> int | None:
    """How often the step of a checkpoint was evaluated when it was taken; None for as often as it
    ever will be. At its last step a run may be evaluated, and killed before that is saved."""
    counters = checkpoint.state
    if counters["finished"] == checkpoint.step:
        return None
    return int(counters["evaluated"] == checkpoint.step)


def _own(by_rank: list[float], engine: Engine) -> float:
    """This rank's share of a sum. Other ranks than those that saved: one takes all of it."""
    if len(by_rank) == engine.ranks:
        return by_rank[engine.rank]
    return 0.0 if engine.rank else sum(by_rank)


def _one_slot(model: ActModel) -> dict[str, Tensor]:
    """What the carry of one slot consists of."""
    row = torch.zeros(1, model.config.seq_len, dtype=torch.int32)
    batch = {"inputs": row, "labels": row, "puzzle_identifiers": row[:, 0]}
    return _carry_tensors(model.initial_carry(batch))


def _carry_tensors(carry: Carry) -> dict[str, Tensor]:
    return {
        **{f"z/{level}": z for level, z in enumerate(carry.z)},
        **{f"data/{name}": value for name, value in carry.data.items()},
        "steps": carry.steps,
        "halted": carry.halted,
    }


def _carry(tensors: dict[str, Tensor], dtype: torch.dtype) -> Carry:
    levels = sum(name.startswith("z/") for name in tensors)
    return Carry(
        z=tuple(tensors[f"z/{level}"].to(dtype) for level in range(levels)),
        steps=tensors["steps"],
        halted=tensors["halted"],
        data={
            name.removeprefix("data/"): value
            for name, value in tensors.items()
            if name.startswith("data/")
        },
    )
