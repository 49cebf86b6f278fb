"""Break runs off and let them go on, and compare their ends with those of undisturbed runs.

``python -m benchmarks.reliability.exact`` prints one row for each engine, accumulation, way of
refilling slots, compilation, placement of the puzzle table and moment of the break. A row says
``ok`` when parameters, moments, table, carry, counters, position in the data and metrics are the
same bit for bit and the clock has gone on; else it says what is not. It exits 1 when a row is not
ok. ``--only WORD ...`` takes the rows that contain all of these words.

``SIGTERM`` is given to the last rank alone and stops the run there; ``SIGKILL`` kills this rank.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.reliability.ways import (
    BATCH,
    DDP_2,
    ONE,
    ZERO_1,
    ZERO_2,
    ZERO_3,
    End,
    Interruption,
    Way,
    differences,
    seconds,
    start_checkpoint,
    train,
    write_data,
)
from benchmarks.tiny.runs import saved_steps
from hrm_scale.base.command_line import Parser
from hrm_scale.base.errors import run_cli

STEPS, EVALUATED = 21, 8  # the first step is that of the checkpoint all runs go on from
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "evaluation__every_steps": EVALUATED,
    "checkpoint__every_steps": 4,
    "log__every": 7,  # so that sums of metrics are under way at most moments
}
STOPS = ("mid-epoch", "epoch edge", "evaluation")


@dataclass(frozen=True)
class Row:
    """One combination."""

    way: Way
    accumulation: int
    refill: str
    stop: str
    signal: signal.Signals = signal.SIGTERM
    compiled: bool = False
    table: str = "device"
    averaged: bool = False

    def __str__(self) -> str:
        return (
            f"{self.way.name:12} accumulation {self.accumulation}  {self.refill:8}"
            f" {'compiled' if self.compiled else 'eager':9} {self.table:8}"
            f" {self.signal.name} {self.stop:11}{' averaged' if self.averaged else ''}"
        )


def rows() -> Iterator[Row]:
    """The whole table; those that share their undisturbed run are neighbours."""
    for way in (ONE, DDP_2, ZERO_1, ZERO_2, ZERO_3):
        for accumulation in (1, 4):
            for refill in ("always", "on_halt"):
                for stop in STOPS:
                    yield Row(way, accumulation, refill, stop)
                if refill == "always":
                    yield Row(way, accumulation, refill, "mid-epoch", signal.SIGKILL)
                elif accumulation == 4:
                    yield Row(way, accumulation, refill, "evaluation", signal.SIGKILL)
    for way in (ONE, DDP_2):
        for accumulation in (1, 4):
            for stop in STOPS:
                yield Row(way, accumulation, "always", stop, compiled=True)
    for way in (ONE, DDP_2, ZERO_2, ZERO_3):
        for table in ("host", "sharded"):
            for stop in ("mid-epoch", "evaluation"):
                yield Row(way, 4, "on_halt", stop, table=table)
    for way in (ONE, DDP_2, ZERO_1, ZERO_2, ZERO_3):
        yield Row(way, 1, "always", "mid-epoch", signal.SIGKILL, averaged=True)
        yield Row(way, 1, "always", "evaluation", averaged=True)


def _settings(row: Row) -> dict[str, Any]:
    return {
        **SETTINGS,
        "engine__accumulation": row.accumulation,
        "engine__compile": str(row.compiled).lower(),
        "engine__puzzle_table": row.table,
        "data__refill": row.refill,
        "ema": str(row.averaged).lower(),
        "ema_rate": 0.9,
    }


class Matrix:
    """Runs rows in a folder; undisturbed runs are made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._whole: dict[tuple[Any, ...], Path] = {}

    @cached_property
    def _found(self) -> tuple[Path, Path, dict[str, int]]:
        """A data set with an epoch that ends exactly after a step for both ways of refilling, the
        checkpoint to start from, and those steps.

        How many slots are free at a step follows from the numbers, so it is looked for.
        """
        for examples in range(40, 120, 8):
            folder = self.folder / f"{examples}"
            data = write_data(folder / "data", examples)
            start = start_checkpoint(data, folder)
            edges: dict[str, int] = {}
            for refill in ("always", "on_halt"):
                probe = folder / refill
                train(
                    *(ONE, data, probe),
                    **{**SETTINGS, "log__every": 1, "evaluation__every_steps": "null"},
                    resume=start,
                    data__refill=refill,
                )
                for line in End(probe).lines:
                    # Away from evaluations, which look for requests to stop, too.
                    away = line["step"] % EVALUATED not in (0, 1)
                    if "samples" in line and line["samples"] % examples == 0 and away:
                        edges.setdefault(refill, int(line["step"]))
            if len(edges) == 2 and min(edges.values()) > 2:
                return data, start, edges
        raise AssertionError("no epoch ends exactly after a step: widen the search")

    def undisturbed(self, row: Row) -> Path:
        """The folder of the row's run without an interruption, made once."""
        data, start, _ = self._found
        key = (row.way, row.accumulation, row.refill, row.compiled, row.table, row.averaged)
        if key not in self._whole:
            self._whole[key] = self.folder / f"whole-{len(self._whole)}"
            assert train(row.way, data, self._whole[key], **_settings(row), resume=start)
        return self._whole[key]

    def verdict(self, row: Row) -> str:
        """``ok``, or what differs."""
        data, start, edges = self._found
        epoch = int(data.parent.name)
        whole, settings = self.undisturbed(row), _settings(row)

        broken = self.folder / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        last, several = max(row.way.ranks - 1, 0), row.way.ranks > 1
        kill = row.signal == signal.SIGKILL
        step = {"mid-epoch": 11, "epoch edge": edges[row.refill], "evaluation": EVALUATED}[row.stop]
        if row.stop == "evaluation":
            # Killed in the second evaluation: there are checkpoints before.
            moment = {"batch": 8 if kill else 2}
        else:
            # Several ranks agree on a request one step after it.
            moment = {"step": step - (several and not kill)}
        interruption = Interruption(row.signal, last, **moment)
        if train(row.way, data, broken, interruption, **settings, resume=start):
            return "was not interrupted"
        before = End(broken).checkpoint
        if not kill:
            if saved_steps(broken)[-1] != step:
                return f"stopped after step {saved_steps(broken)[-1]} instead of {step}"
            if (before.state["samples"] % epoch == 0) != (row.stop == "epoch edge"):
                return f"stopped after {before.state['samples']} samples of epochs of {epoch}"
            if row.stop == "evaluation" and before.state["evaluated"] == step:
                return "the evaluation was not ended early"
        if not train(row.way, data, broken, **settings):
            return "stopped again"
        found = differences(whole, broken)
        if seconds(End(broken).checkpoint.state["clock"]) < seconds(before.state["clock"]):
            found.append("the clock went back")
        return "; ".join(found) or "ok"


def main(arguments: list[str]) -> int:
    parser = Parser(
        prog="python -m benchmarks.reliability.exact", description="Exact resume, as a table."
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="rows with all these")
    only = parser.parse_args(arguments).only
    chosen = [row for row in rows() if all(word in str(row) for word in only)]
    begun, missed = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor", "OMP_NUM_THREADS": "1"}
        matrix = Matrix(Path(scratch))
        print(f"{STEPS - 1} steps, global batch {BATCH}")
        for row in chosen:
            verdict = matrix.verdict(row)
            missed += verdict != "ok"
            print(f"{row}  {verdict}", flush=True)
    took = time.monotonic() - begun
    print(f"{len(chosen) - missed} of {len(chosen)} bit-identical in {took:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    run_cli(main)
