"""The engines that must train alike, and one run of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import make_halting_likely, train_here

STEPS, BATCH = 20, 32
SETTINGS: dict[str, Any] = {
    "global_batch_size": BATCH,
    "lr": 1e-3,
    "puzzle_emb_lr": 1e-2,
    "log__every": 1,
    "arch__H_cycles": 2,
    "arch__halt_max_steps": 4,
    "arch__halt_exploration_prob": 0.5,
    "ema": "true",
    "ema_rate": 0.9,
}


@dataclass(frozen=True)
class Case:
    """A way to run: `deepspeed` is the section ``zero_optimization``, None for without."""

    name: str
    ranks: int
    deepspeed: dict[str, Any] | None = None

    @property
    def stage(self) -> int | None:
        return None if self.deepspeed is None else self.deepspeed["stage"]


_CPU = {"device": "cpu"}
CASES = (
    Case("DDP 2", 2),
    Case("DDP 4", 4),
    Case("ZeRO-0 2", 2, {"stage": 0}),
    Case("ZeRO-1 2", 2, {"stage": 1}),
    Case("ZeRO-2 2", 2, {"stage": 2}),
    Case("ZeRO-3 2", 2, {"stage": 3}),
    Case("ZeRO-1 4", 4, {"stage": 1}),
    Case("ZeRO-2 2 offload", 2, {"stage": 2, "offload_optimizer": _CPU}),
    Case("ZeRO-3 2 offload", 2, {"stage": 3, "offload_optimizer": _CPU, "offload_param": _CPU}),
)


def start_checkpoint(data: Path, folder: Path, dtype: str) -> Path:
    """A run of one step whose halt head has opinions, for all others to go on from."""
    run = folder / f"start-{dtype}"
    changes = {**SETTINGS, "arch__forward_dtype": dtype, "max_steps": 1}
    run_ranks(0, lambda: _train(data, run, make_halting_likely, changes))
    return run / "checkpoints" / "step-00000001"


def run_case(
    case: Case | None,
    data: Path,
    start: Path,
    run: Path,
    *,
    accumulation: int,
    dtype: str,
    **more: Any,
) -> Path:
    """Train STEPS steps from `start`; None is one process without DeepSpeed."""
    changes = {
        **SETTINGS,
        "arch__forward_dtype": dtype,
        "max_steps": STEPS + 1,
        "resume": start,
        "engine__accumulation": accumulation,
        **more,
    }
    if case is not None and case.deepspeed is not None:
        file = run.with_suffix(".json")
        bf16 = {"enabled": dtype == "bfloat16" and case.stage != 0}
        file.write_text(json.dumps({"zero_optimization": case.deepspeed, "bf16": bf16}))
        changes["engine__deepspeed"] = file
    run_ranks(0 if case is None else case.ranks, lambda: _train(data, run, None, changes))
    return run


def _train(data: Path, run: Path, prepare: Any, changes: dict[str, Any]) -> None:
    trainer = train_here(data, run, prepare, **changes)
    if hasattr(trainer.parts.engine, "gathers") and trainer.parts.engine.rank == 0:
        (run / "gathers.txt").write_text(str(trainer.parts.engine.gathers))
    trainer.parts.engine.close()
