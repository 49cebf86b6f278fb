"""The state of a run as named tensors and JSON, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hrm_scale.checkpoint import (
    LoadedCheckpoint,
    carried_slots,
    carry_part_name,
    read_carry,
    read_table,
    require_fit,
    require_table,
    table_part_name,
)
from hrm_scale.engine import Engine
from hrm_scale.errors import CheckpointError
from hrm_scale.modelling import TABLE
from hrm_scale.models import ActModel, Carry
from hrm_scale.optim.puzzle_table import PuzzleTable


@dataclass
class TrainState:
    """What changes while a run trains, but for the model, the optimizer and the table.

    `step` optimizer steps and `position` samples are done. `carries` holds one slice of slots a
    micro-step, None before the first step. `sums` are the metric sums of the `sum_steps` steps
    since the last log line. `evaluated` is the last step whose evaluation was finished.
    """

    step: int = 0
    position: int = 0
    carries: list[Carry] | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    sum_steps: int = 0
    evaluated: int = 0


def slot_range(
    micro: int, rank: int, ranks: int, accumulation: int, global_batch: int
) -> tuple[int, int]:
    """Slots [start, stop) of the global batch that a rank owns in a micro-step."""
    rows = global_batch // (accumulation * ranks)
    start = micro * (global_batch // accumulation) + rank * rows
    return start, start + rows


def take(
    engine: Engine,
    table: PuzzleTable | None,
    state: TrainState,
    *,
    accumulation: int,
    global_batch: int,
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Checkpoint parts of this rank, and the JSON of the run's counters; every rank calls it."""
    parts: dict[str, dict[str, Tensor]] = {}
    parameters, moments = engine.full_parameters(), engine.full_moments()
    if engine.rank == 0:
        parts["model"] = {**dict(engine.model.named_buffers()), **parameters}
        parts["optimizer"] = moments
    if table is not None:
        lo, hi = table.owned
        whole = (lo, hi) == (0, table.num_identifiers)
        if hi > lo and (engine.rank == 0 or not whole):
            parts[table_part_name(lo, hi, whole)] = {TABLE: table.owned_rows()}
    for micro, carry in enumerate(state.carries or ()):
        slots = slot_range(micro, engine.rank, engine.ranks, accumulation, global_batch)
        parts[carry_part_name(*slots)] = _carry_tensors(carry)
    names = sorted(state.sums)
    sums: list[float] = []
    if names:
        sums = engine.sum(torch.stack([state.sums[name] for name in names])).tolist()
    counters = {
        "samples": state.position,
        "sum_steps": state.sum_steps,
        "evaluated": state.evaluated,
        "sums": dict(zip(names, sums, strict=True)),
    }
    return parts, counters


def load_model(
    checkpoint: LoadedCheckpoint, model: ActModel, table: PuzzleTable | None, global_batch: int
) -> None:
    """Load the weights, before the engine takes the model. Raises CheckpointError, before anything
    is changed, when the checkpoint is of another model, table or batch size."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    require_fit(checkpoint, "model", expected)
    if table is not None:
        require_table(checkpoint, TABLE, (table.num_identifiers, table.width))
    # Fewer slots than were saved could be read, but the others would be lost without a word.
    if (slots_saved := carried_slots(checkpoint)) != global_batch:
        raise CheckpointError(
            f"{checkpoint.path} was written with global_batch_size={slots_saved}, this run has"
            f" {global_batch}: type global_batch_size={slots_saved}, or choose another run_name"
        )
    model.load_state_dict(dict(checkpoint.part("model").items()))


def put_back(
    checkpoint: LoadedCheckpoint,
    engine: Engine,
    table: PuzzleTable | None,
    *,
    position: int,
    accumulation: int,
    global_batch: int,
) -> TrainState:
    """Load optimizer and table in place, after `load_model`; the rest as a new TrainState."""
    carries = []
    for micro in range(accumulation):
        slots = slot_range(micro, engine.rank, engine.ranks, accumulation, global_batch)
        tensors = read_carry(checkpoint, *slots)
        carries.append(_carry({name: t.to(engine.device) for name, t in tensors.items()}))

    engine.load_moments(checkpoint.part("optimizer"))
    if table is not None:
        table.load_rows(read_table(checkpoint, TABLE, *table.owned))
    counters = checkpoint.state
    # The sums are those of all ranks together: one of them goes on with all of it.
    sums = {
        name: torch.tensor(0.0 if engine.rank else value, dtype=torch.float64, device=engine.device)
        for name, value in counters["sums"].items()
    }
    return TrainState(
        step=checkpoint.step,
        position=position,
        carries=carries,
        sums=sums,
        sum_steps=counters["sum_steps"],
        evaluated=counters["evaluated"],
    )


def _carry_tensors(carry: Carry) -> dict[str, Tensor]:
    return {
        **{f"z/{level}": z for level, z in enumerate(carry.z)},
        **{f"data/{name}": value for name, value in carry.data.items()},
        "steps": carry.steps,
        "halted": carry.halted,
    }


def _carry(tensors: dict[str, Tensor]) -> Carry:
    levels = sum(name.startswith("z/") for name in tensors)
    return Carry(
        z=tuple(tensors[f"z/{level}"] for level in range(levels)),
        steps=tensors["steps"],
        halted=tensors["halted"],
        data={
            name.removeprefix("data/"): value
            for name, value in tensors.items()
            if name.startswith("data/")
        },
    )
