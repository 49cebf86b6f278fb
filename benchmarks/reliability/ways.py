"""Ways to run one tiny training, ways to break it off, and how two finished runs differ."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.tiny.data_sets import columns
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import arguments, make_halting_likely, metrics_of, train_here
from hrm_scale.checkpoint import LoadedCheckpoint, read_checkpoint, read_table
from hrm_scale.data import DatasetMeta, DatasetWriter
from hrm_scale.modelling import TABLE

BATCH = 16
SETTINGS: dict[str, Any] = {
    "global_batch_size": BATCH,
    "lr": 1e-3,
    "puzzle_emb_lr": 1e-2,
    "arch__H_cycles": 2,
    "evaluation__limit": 24,
    "evaluation__batch_size": 4,
}


@dataclass(frozen=True)
class Way:
    """Processes and engine: `stage` is DeepSpeed's, None for without."""

    name: str
    ranks: int
    stage: int | None = None


ONE = Way("one process", 0)
DDP_2, DDP_4 = Way("DDP 2", 2), Way("DDP 4", 4)
ZERO_1, ZERO_2, ZERO_3 = (Way(f"ZeRO-{stage} 2", 2, stage) for stage in (1, 2, 3))
ZERO_1_4 = Way("ZeRO-1 4", 4, 1)


@dataclass(frozen=True)
class Interruption:
    """A signal that one rank gets at an exact moment: within the update of step `step`, or after
    the `batch`-th batch that it evaluates."""

    signal: signal.Signals
    rank: int
    step: int = 0
    batch: int = 0

    def arm(self, first_step: int) -> None:
        """Make it happen in this process, whose first step is `first_step`."""
        if self.batch:
            from hrm_scale.evaluation import evaluate

            _after_call(evaluate, "make_query", self.batch, self._raise)
        else:
            from hrm_scale.optim.adam_atan2 import AdamATan2

            _after_call(AdamATan2, "step", self.step - first_step + 1, self._raise)

    def _raise(self) -> None:
        os.kill(os.getpid(), self.signal)


def _after_call(owner: Any, name: str, number: int, action: Callable[[], None]) -> None:
    real, calls = getattr(owner, name), 0

    # Torch marks a `step` that calls hooks; one without the mark would come to call them twice.
    @functools.wraps(real)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        result = real(*args, **kwargs)
        if calls == number:
            action()
        return result

    setattr(owner, name, counted)


def write_data(path: Path, examples: int = 80, labels: int = 0) -> Path:
    """Puzzles of 3 and 5 examples under identifiers of their own; as many to train on as asked
    for, 40 to test on, in records of 16. `labels` makes it another data set of the same shape."""
    meta = DatasetMeta(
        kind="arc",
        storage="dense",
        vocab_size=200,
        seq_len=5,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=examples // 4,
    )
    numbers = np.repeat(np.arange(examples // 4), np.tile([3, 5], examples // 8))
    inputs = np.zeros((examples, 5), np.uint8)
    inputs[:, 0], inputs[:, 1] = np.arange(examples) % 200, np.arange(examples) // 200
    piece = columns(inputs, (inputs + labels) % 200, numbers)
    piece["puzzle_identifiers"] = piece["puzzles"] = numbers.astype(np.int32)
    with DatasetWriter(path, meta, chunk_examples=16) as writer:
        writer.write_split("train", [piece])
        writer.write_split("test", [{name: column[:40] for name, column in piece.items()}])
        writer.write_identifiers([f"puzzle{number}" for number in range(examples // 4)])
    return path


def start_checkpoint(data: Path, folder: Path, **changes: Any) -> Path:
    """A run of one step whose halt head has opinions, for others to go on from."""
    run = folder / "start"
    settings = {**SETTINGS, "max_steps": 1, "evaluation__full_at_end": "false", **changes}
    run_ranks(
        0, lambda: train_here(data, run, make_halting_likely, **settings).parts.engine.close()
    )
    return run / "checkpoints" / "step-00000001"


def train(
    way: Way, data: Path, run: Path, interruption: Interruption | None = None, **changes: Any
) -> bool:
    """Train as the command would, in processes of its own; whether all of the run was done.

    Interrupted, its first step is the second: it goes on from a `start_checkpoint`.
    """
    settings = {**SETTINGS, **changes}
    if way.stage is not None:
        file = run.parent / f"zero-{way.stage}.json"
        file.write_text(json.dumps({"zero_optimization": {"stage": way.stage}}))
        settings["engine__deepspeed"] = file
    stopped = run.parent / f"{run.name}.stopped"
    stopped.unlink(missing_ok=True)

    def work() -> None:
        from hrm_scale import train as entry
        from hrm_scale.base.errors import Stopped
        from hrm_scale.config.compose import compose

        if interruption is not None and interruption.rank == int(os.environ.get("RANK", "0")):
            interruption.arm(first_step=2)
        try:
            entry.run(compose(arguments(data, run, **settings)))
        except Stopped as request:
            stopped.write_text(str(request))

    try:
        run_ranks(way.ranks, work, seconds=900)  # some compile
    except AssertionError as failure:
        killed = f"{-signal.SIGKILL}" in str(failure).splitlines()[0]
        if interruption is None or interruption.signal != signal.SIGKILL or not killed:
            raise
        return False
    return not stopped.exists()


# --- what two runs have in common -----------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """What a run has left behind."""

    run: Path

    @cached_property
    def checkpoint(self) -> LoadedCheckpoint:
        return read_checkpoint(self.run)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor as PART/NAME; carry and table whole, whatever files they are in."""
        found: dict[str, Tensor] = {}
        pieces: dict[str, list[Tensor]] = {}
        for part in sorted(self.checkpoint.parts):
            kind = part.split("-")[0]
            for name, tensor in self.checkpoint.parts[part].items():
                if kind == "carry":
                    pieces.setdefault(f"carry/{name}", []).append(tensor)
                elif kind != "puzzle_table":
                    found[f"{kind}/{name}"] = tensor
        rows = int(self.checkpoint.config["global_batch_size"])
        found |= {name: torch.cat(parts) for name, parts in pieces.items()}
        assert all(len(tensor) == rows for name, tensor in found.items() if name[:5] == "carry")
        # More rows than there can be: all of them.
        found["table/" + TABLE] = read_table(self.checkpoint, TABLE, 0, 1 << 40)
        return found

    @cached_property
    def lines(self) -> list[dict[str, float]]:
        """Lines of metrics.jsonl without what was measured; the samples were counted."""
        measured = (self.run / "metrics.jsonl").read_text().splitlines()
        samples = [json.loads(line).get("perf/samples") for line in measured]
        return [
            line if at is None else {**line, "samples": at}
            for line, at in zip(metrics_of(self.run), samples, strict=True)
        ]


def differences(one: Path, other: Path) -> list[str]:
    """What is not the same bit for bit at the ends of two runs, in words; empty when all is."""
    ours, theirs = End(one), End(other)
    found = []
    if ours.checkpoint.step != theirs.checkpoint.step:
        found.append(f"last step {ours.checkpoint.step} / {theirs.checkpoint.step}")
    for kind in sorted({name.split("/")[0] for name in ours.tensors | theirs.tensors}):
        names = [name for name in ours.tensors | theirs.tensors if name.split("/")[0] == kind]
        wrong = [name for name in names if not _same(ours.tensors, theirs.tensors, name)]
        if wrong:
            found.append(f"{kind}: {len(wrong)} of {len(names)} tensors, {wrong[0]}")
    mine, its = ours.checkpoint.state, theirs.checkpoint.state
    for name in sorted((mine.keys() | its.keys()) - {"clock", "command"}):
        if mine.get(name) != its.get(name):
            found.append(f"state.{name}: {mine.get(name)} / {its.get(name)}")
    if mine["clock"]["steps"] != its["clock"]["steps"]:
        found.append(f"clock: {mine['clock']['steps']} / {its['clock']['steps']} steps")
    if len(ours.lines) != len(theirs.lines):
        found.append(f"metrics: {len(ours.lines)} / {len(theirs.lines)} lines")
    for a, b in zip(ours.lines, theirs.lines, strict=False):
        if a != b:
            wrong = sorted(name for name in a | b if a.get(name) != b.get(name))
            found.append(f"metrics of step {a['step']}: {wrong[0]}")
            break
    return found


def _same(ours: dict[str, Tensor], theirs: dict[str, Tensor], name: str) -> bool:
    a, b = ours.get(name), theirs.get(name)
    if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.numpy().tobytes() == b.numpy().tobytes()


def seconds(clock: dict[str, Any]) -> float:
    """Wall time of the whole run, as a checkpoint tells it."""
    return float(clock["train"]) + sum(clock["paused"].values())
