"""One process of a measurement of `benchmarks.engines`; rank 0 writes the figures."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.step_runner import model_config
from hrm_scale.engine import Engine, open_engine
from hrm_scale.models import ActModel, Draws, build_model
from hrm_scale.optim.adam_atan2 import make_adam_atan2
from hrm_scale.optim.puzzle_table import DeviceTable
from hrm_scale.training.step import StepSettings, exploration_draws, train_step

PROFILED = 2


class Run:
    """The training step on random data, this rank's share of the rows."""

    def __init__(self, engine: Engine, job: dict[str, Any]) -> None:
        self.engine, self.rows, self.identifiers = engine, job["rows"], job["identifiers"]
        self.config = model_config(job["shape"])
        torch.manual_seed(0)
        self.model: ActModel = build_model(self.config).to(engine.device)
        self.table = DeviceTable(self.identifiers, self.config.hidden_size, engine.device)
        optimizer = make_adam_atan2(self.model.parameters(), engine.device, (0.9, 0.95), 0.1)
        engine.prepare(self.model, optimizer)
        self.model.train()
        self.generator = torch.Generator().manual_seed(engine.rank)
        self.carry = self.model.initial_carry(self._batch())
        self.steps = 0

    def _batch(self) -> dict[str, Tensor]:
        local, config = self.rows // self.engine.ranks, self.config

        def draw(high: int, *shape: int) -> Tensor:
            numbers = torch.randint(0, high, shape, generator=self.generator).int()
            return numbers.to(self.engine.device)

        return {
            "inputs": draw(config.vocab_size, local, config.seq_len),
            "labels": draw(config.vocab_size, local, config.seq_len),
            "puzzle_identifiers": draw(self.identifiers, local),
        }

    def step(self) -> float:
        """Seconds of one step, all ranks having begun it together."""
        self.steps += 1
        batch = self._batch()
        local = self.rows // self.engine.ranks
        coins, minimums = exploration_draws(0, self.steps, local, self.config.halt_max_steps)
        draws = Draws(
            torch.from_numpy(coins).to(self.engine.device),
            torch.from_numpy(minimums).to(self.engine.device),
        )
        if self.engine.ranks > 1:
            dist.barrier()
        start = time.perf_counter()
        result = train_step(
            self.engine,
            self.table,
            [self.carry],
            [batch],
            [draws],
            StepSettings(1e-4, 1e-4, 0.1, self.rows, "stablemax_cross_entropy"),
        )
        if self.engine.device.type == "cuda":
            torch.cuda.synchronize()
        (self.carry,) = result.carries
        return time.perf_counter() - start


def main() -> None:
    job = json.loads(sys.argv[1])
    engine = open_engine(
        device="auto",
        deepspeed=job["deepspeed"],
        global_batch_size=job["rows"],
        accumulation=1,
        bf16_forward=True,
    )
    run = Run(engine, job)
    for _ in range(2):
        run.step()
    silent = None
    with_exchange, without = [], []
    for _ in range(job["steps"]):
        with_exchange.append(run.step())
        if engine.ranks > 1 and job["deepspeed"] == "off":
            # Alternating, so that a disturbance of the machine meets both alike.
            silent = silent or _silenced(engine)
            without.append(silent(run.step))
    median = statistics.median(with_exchange)
    figures = {
        "median_s": median,
        "min_s": min(with_exchange),
        "cost": 1 - statistics.median(without) / median if without else None,
        **_collectives(run),
    }
    if engine.rank == 0:
        Path(job["output"]).write_text(json.dumps(figures))
    engine.close()


def _silenced(engine: Any) -> Callable[[Callable[[], float]], float]:
    """Calls a step with nothing exchanged. The ranks drift apart, which timing does not mind."""
    exchange, gather = engine.exchange, engine.gather_rows

    def silent(step: Callable[[], float]) -> float:
        engine.exchange = lambda last: exchange(False)
        engine.gather_rows = lambda rows: torch.cat([rows] * engine.ranks)
        try:
            return step()
        finally:
            engine.exchange, engine.gather_rows = exchange, gather

    return silent


def _collectives(run: Run) -> dict[str, Any]:
    """Collectives of a step by name, and the share of the time with one under way."""
    seconds = 0.0
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        for _ in range(PROFILED):
            seconds += run.step()
    counts: dict[str, float] = {}
    flight = 0.0
    for event in trace.events():
        if event.name.startswith(("gloo:", "nccl:")) and event.name != "gloo:barrier":
            flight += event.time_range.elapsed_us() / 1e6
        name = event.name.removeprefix("c10d::").strip("_")
        if event.name.startswith("c10d::") and name != "barrier":
            counts[name] = counts.get(name, 0) + 1 / PROFILED
    return {"collectives": counts, "flight": flight / seconds}


if __name__ == "__main__":
    main()
