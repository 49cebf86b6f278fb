"""Go on from a checkpoint with other processes or another engine, and compare with going on alike.

``python -m benchmarks.reliability.elastic`` prints one table, with a row for each change: the steps
done before it; the largest differences from the run that was never interrupted, of losses and of
parameters (moments and puzzle table included), over the further steps; and whether both drew the
same data, slot by slot. It exits 1 when a difference is above its bound or the data are not the
same. Forward passes are in float32.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parity.engines import BOUND
from benchmarks.reliability.ways import (
    BATCH,
    DDP_2,
    DDP_4,
    ONE,
    ZERO_1,
    ZERO_1_4,
    ZERO_2,
    ZERO_3,
    End,
    Way,
    start_checkpoint,
    train,
    write_data,
)
from benchmarks.tiny.runs import saved_steps

BEFORE, FURTHER = 12, 20
SETTINGS: dict[str, Any] = {
    "max_steps": BEFORE + FURTHER,
    "checkpoint__every_steps": BEFORE,
    "log__every": 1,
    "evaluation__full_at_end": "false",
}


@dataclass(frozen=True)
class Shape:
    """How a part of a run is run."""

    way: Way
    accumulation: int = 1
    table: str = "device"

    def __str__(self) -> str:
        more = f", accumulation {self.accumulation}" if self.accumulation > 1 else ""
        return f"{self.way.name}{more}{'' if self.table == 'device' else f', {self.table} table'}"


CHANGES: tuple[tuple[Shape, Shape, str], ...] = (
    (Shape(DDP_2), Shape(ONE), "on_halt"),
    (Shape(ONE), Shape(DDP_2), "on_halt"),
    (Shape(DDP_4), Shape(DDP_2), "on_halt"),
    (Shape(ZERO_2), Shape(ONE), "on_halt"),
    (Shape(DDP_2), Shape(ZERO_3), "on_halt"),
    (Shape(ZERO_3), Shape(DDP_4), "on_halt"),
    (Shape(ZERO_1_4), Shape(ZERO_1), "always"),
    (Shape(ONE), Shape(ONE, 4), "on_halt"),
    (Shape(DDP_2), Shape(DDP_2, 4), "on_halt"),
    (Shape(DDP_4, 4), Shape(ZERO_3), "on_halt"),
    (Shape(DDP_2), Shape(DDP_2, table="sharded"), "on_halt"),
    (Shape(DDP_4, table="sharded"), Shape(DDP_2, table="sharded"), "always"),
    (Shape(DDP_4, table="sharded"), Shape(ONE), "always"),
)


@dataclass(frozen=True)
class Outcome:
    """How far a changed run is from the one that was never interrupted."""

    loss: float
    parameters: float
    same_data: bool

    @property
    def ok(self) -> bool:
        return self.same_data and max(self.loss, self.parameters) <= BOUND


class Table:
    """Makes the changes in a folder; the runs before them, which are the undisturbed ones too,
    are made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_data(folder / "data")
        self.start = start_checkpoint(self.data, folder)
        self._whole: dict[tuple[Shape, str], Path] = {}

    def outcome(self, old: Shape, new: Shape, refill: str) -> Outcome:
        whole = self.undisturbed(old, refill)
        changed = self.folder / "changed"
        shutil.rmtree(changed, ignore_errors=True)
        first = whole / "checkpoints" / f"step-{BEFORE:08d}"
        shutil.copytree(first, changed / "checkpoints" / first.name)
        assert train(new.way, self.data, changed, **settings(new, refill), resume="must")
        assert saved_steps(changed)[0] == BEFORE
        return compare(End(whole), End(changed))

    def undisturbed(self, shape: Shape, refill: str) -> Path:
        key = (shape, refill)
        if key not in self._whole:
            run = self.folder / f"whole-{len(self._whole)}"
            assert train(shape.way, self.data, run, **settings(shape, refill), resume=self.start)
            self._whole[key] = run
        return self._whole[key]


def settings(shape: Shape, refill: str) -> dict[str, Any]:
    return {
        **SETTINGS,
        "data__refill": refill,
        "engine__accumulation": shape.accumulation,
        "engine__puzzle_table": shape.table,
        "checkpoint__keep_last": 9,
    }


def compare(whole: End, changed: End) -> Outcome:
    """The further steps of a changed run against those of the undisturbed one."""
    ours, theirs = (
        [line for line in end.lines if line["step"] > BEFORE and "train/lr" in line]
        for end in (whole, changed)
    )
    for lines in (ours, theirs):
        assert [line["step"] for line in lines] == [BEFORE + 1 + i for i in range(FURTHER)]
    losses = [name for name in ours[0] if name.endswith("loss")]
    loss = max(abs(a[name] - b[name]) for a, b in zip(ours, theirs, strict=True) for name in losses)
    # What is drawn next, how much was drawn at each step, what every slot holds and since when.
    same = whole.checkpoint.state["data"] == changed.checkpoint.state["data"]
    counts = ("samples", "train/count", "train/steps")
    same &= all(a[name] == b[name] for a, b in zip(ours, theirs, strict=True) for name in counts)
    same &= whole.tensors.keys() == changed.tensors.keys()
    gap = 0.0
    for name, tensor in whole.tensors.items():
        other = changed.tensors[name]
        if name.startswith(("carry/data/", "carry/steps", "carry/halted")):
            same &= tensor.equal(other)
        elif not name.startswith("carry/"):
            gap = max(gap, float((tensor.double() - other.double()).abs().max()))
    return Outcome(loss, gap, same)


def main() -> int:
    os.environ["OMP_NUM_THREADS"] = "1"
    begun, missed = time.monotonic(), 0
    print(f"float32, global batch {BATCH}; differences from the uninterrupted run, bound {BOUND:g}")
    head = ("from", "to", "refill", "steps before", f"loss, {FURTHER} further", "parameters")
    print("{:>22} | {:>22} | {:>7} | {} | {} | {:>10} | same data | ok".format(*head))
    with tempfile.TemporaryDirectory() as scratch:
        table = Table(Path(scratch))
        for old, new, refill in CHANGES:
            found = table.outcome(old, new, refill)
            missed += not found.ok
            print(
                f"{old!s:>22} | {new!s:>22} | {refill:>7} | {BEFORE:12} | {found.loss:16.1e} |"
                f" {found.parameters:10.1e} | {'yes' if found.same_data else 'NO':>9} |"
                f" {'ok' if found.ok else 'MISS'}",
                flush=True,
            )
    verdict = "all within the bound" if not missed else f"{missed} MISSED"
    print(f"{verdict} in {time.monotonic() - begun:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
