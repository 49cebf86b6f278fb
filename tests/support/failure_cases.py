"""Hand-made answers, step by step, as if a model had given them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.tiny.data_sets import sudoku_meta
from hrm_scale.data.format.meta import IGNORE_LABEL, DatasetMeta
from hrm_scale.evaluation.failures import FailureReport, Part
from hrm_scale.evaluation.observers.failures import Failures
from hrm_scale.evaluation.rollout import ModelOutputs, Query

META = sudoku_meta(4, "online", extra={"sources": ["easy", "<b>&hard"]})
RIGHT = np.array([2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2])
CLUES = np.array([1, 3, 4, 5, 4, 1, 2, 3, 3, 2, 1, 4, 5, 4, 3, 1])
"""Blank: cells 0, 5, 10 and 15."""


def board(**cells: int) -> np.ndarray:
    """The right answer with other tokens at some cells: board(c0=3)."""
    changed = RIGHT.copy()
    for name, token in cells.items():
        changed[int(name[1:])] = token
    return changed


WRONG = board(c0=3, c5=2)
"""Two cells wrong, the first of them against a clue."""

# By name: answers after four steps, halt head after the last.
STORIES: dict[str, tuple[Sequence[np.ndarray], float]] = {
    "solved": ([WRONG, RIGHT, RIGHT, RIGHT], 3.0),
    "stuck": ([board(c10=2), WRONG, WRONG, WRONG], -1.0),
    "lost": ([CLUES, RIGHT, RIGHT, WRONG], -0.5),
    "oscillating": ([RIGHT, WRONG, RIGHT, WRONG], -2.0),
    "confident": ([WRONG, WRONG, WRONG, WRONG], 4.0),
    "blank": ([CLUES, CLUES, CLUES, CLUES], -3.0),
    "passing": ([CLUES, CLUES, WRONG, CLUES], -3.0),
    "clue": ([CLUES, board(c1=1, c0=1), CLUES, board(c15=1)], -3.0),
}


def answers_of(
    inputs: np.ndarray,
    labels: np.ndarray,
    trace: np.ndarray,
    q_halt: np.ndarray,
    numbers: np.ndarray,
    vocab_size: int,
    extras: dict[str, np.ndarray] | None = None,
) -> list[ModelOutputs]:
    """inputs, labels [n, S]; trace [N, n, S]; q_halt [N, n]: the answers after each of N steps."""
    data = {
        "inputs": torch.from_numpy(inputs.astype(np.int32)),
        "labels": torch.from_numpy(labels.astype(np.int32)),
    }
    query = Query(data, None, numbers, extras or {})
    found = []
    for step, (tokens, halt) in enumerate(zip(trace, q_halt, strict=True), start=1):
        logits = torch.nn.functional.one_hot(
            torch.from_numpy(tokens.astype(np.int64)), vocab_size
        ).float()
        values = torch.from_numpy(halt.astype(np.float32))
        steps = torch.full((len(inputs),), step, dtype=torch.int32)
        last = step == len(trace)
        found.append(ModelOutputs(query, steps, logits, values, values, last))
    return found


def feed(failures: Failures, *args: Any, **kwargs: Any) -> Failures:
    """`answers_of`, shown to `failures`."""
    for answers in answers_of(*args, **kwargs):
        failures.add(answers)
    return failures


def told(keep: int = 10, meta: DatasetMeta = META) -> Part:
    """All STORIES in their order, rows 100, 101 ..., and a row without a label."""
    names = [*STORIES, "padding"]
    traces = [STORIES[name][0] for name in STORIES] + [[CLUES] * 4]
    labels = np.stack([RIGHT] * len(STORIES) + [np.full(16, IGNORE_LABEL)])
    halts = np.array([STORIES[name][1] for name in STORIES] + [9.0])
    extras = {"ratings": np.arange(len(names)) * 3, "sources": np.arange(len(names)) % 2}
    return feed(
        Failures(meta, keep),
        np.stack([CLUES] * len(names)),
        labels,
        np.stack(traces).swapaxes(0, 1),
        np.stack([np.full(len(names), -1.0)] * 3 + [halts]),
        np.append(100 + np.arange(len(STORIES)), -1),
        meta.vocab_size,
        extras,
    ).sums()


def report_of(part: Part, keep: int = 10, meta: DatasetMeta = META) -> FailureReport:
    return Failures(meta, keep).result([part])
