"""Running a model on questions until it is satisfied with each.

A row is finished when the model wants to halt and its answer is the one of the step before: the
halt head alone stops some rows too early (docs/evaluation.md has the figures). Rows that are
finished leave at once and others take their place, so that every step computes a full batch of rows
that need it; what is left at the end is computed in ever smaller batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrm_scale.evaluation.rollout import ModelOutputs, Query
from hrm_scale.models.act import wants_to_halt
from hrm_scale.models.inference import Reasoner


@dataclass
class _Slots:
    """Rows in work: what they are, their states and embedding [n, T, D], steps int32 [n], and the
    answer of the last step int64 [n, S]."""

    query: Query
    z: tuple[Tensor, ...]
    embedding: Tensor
    steps: Tensor
    answer: Tensor

    def take(self, rows: Tensor) -> _Slots:
        """Some of the rows, by number int64 [m]."""
        return _Slots(
            self.query[rows],
            tuple(state[rows] for state in self.z),
            self.embedding[rows],
            self.steps[rows],
            self.answer[rows],
        )


def early_exit_rollout(
    reasoner: Reasoner, questions: Iterable[Query], slots: int, max_steps: int
) -> Iterator[ModelOutputs]:
    """The last answers of all questions, in the order in which they are finished, at the latest
    after `max_steps` ACT steps. At most `slots` rows are in work."""
    waiting = _Waiting(questions)
    work: _Slots | None = None
    while True:
        free = slots - (len(work.query) if work else 0)
        fresh = waiting.take(free) if free else None
        if fresh is not None:
            work = _joined(work, _begun(reasoner, fresh))
        if work is None:
            return
        work.z = reasoner.step(work.z, work.embedding)
        work.steps += 1
        q_halt, q_continue = reasoner.q_values(work.z)
        logits = reasoner.logits(work.z)
        before, work.answer = work.answer, logits.argmax(-1)
        stands = (work.answer == before).all(-1)
        satisfied = stands & wants_to_halt(reasoner.config, q_halt, q_continue)
        ended = satisfied | (work.steps >= max_steps)
        out = ended.nonzero().squeeze(-1)
        if not len(out):
            continue
        gone = work.take(out)
        yield ModelOutputs(
            gone.query, gone.steps, logits[out], q_halt[out], q_continue[out], last=True
        )
        stay = (~ended).nonzero().squeeze(-1)
        work = work.take(stay) if len(stay) else None


class _Waiting:
    """Questions handed out in any number at a time."""

    def __init__(self, questions: Iterable[Query]) -> None:
        self._questions = iter(questions)
        self._held: Query | None = None

    def take(self, rows: int) -> Query | None:
        """The next `rows` of them, fewer at the end, None when there are no more."""
        parts: list[Query] = []
        while rows:
            if self._held is None:
                self._held = next((query for query in self._questions if len(query)), None)
                if self._held is None:
                    break
            held = self._held
            parts.append(held[:rows])
            self._held = held[rows:] if len(held) > rows else None
            rows -= len(parts[-1])
        return _stacked(parts) if parts else None


def _begun(reasoner: Reasoner, query: Query) -> _Slots:
    inputs = query.data["inputs"]
    z = reasoner.start(len(inputs), inputs.device)
    steps = torch.zeros(len(inputs), dtype=torch.int32, device=inputs.device)
    nothing = torch.full_like(inputs, -1, dtype=torch.int64)
    return _Slots(query, z, reasoner.embed(inputs, query.vectors), steps, nothing)


def _joined(old: _Slots | None, new: _Slots) -> _Slots:
    if old is None:
        return new
    return _Slots(
        _stacked([old.query, new.query]),
        tuple(torch.cat(pair) for pair in zip(old.z, new.z, strict=True)),
        torch.cat((old.embedding, new.embedding)),
        torch.cat((old.steps, new.steps)),
        torch.cat((old.answer, new.answer)),
    )


def _stacked(parts: list[Query]) -> Query:
    first = parts[0]
    if len(parts) == 1:
        return first
    return Query(
        {name: torch.cat([part.data[name] for part in parts]) for name in first.data},
        None
        if first.vectors is None
        else torch.cat([part.vectors for part in parts if part.vectors is not None]),
        np.concatenate([part.numbers for part in parts]),
        {name: np.concatenate([part.extras[name] for part in parts]) for name in first.extras},
    )
