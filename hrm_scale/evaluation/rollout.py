"""Running a model on questions: what it answers after how many ACT steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hrm_scale.data import EvalBatch
from hrm_scale.models.inference import Reasoner
from hrm_scale.models.losses import IGNORE_LABEL
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.transfer import to_tensors


@dataclass(frozen=True)
class Asked:
    """Rows to be answered.

    `data`: `inputs`, `labels` int32 [n, S], `puzzle_identifiers` int32 [n]. `vectors` [n, E]: their
    puzzle embeddings, or None. `numbers` int64 [n]: which rows of the data they are. `extras`:
    other columns of the data, [n] each.
    """

    data: dict[str, Tensor]
    vectors: Tensor | None
    numbers: np.ndarray
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, start: int, stop: int) -> Asked:
        """Rows start ... stop - 1, which share the memory of these."""
        rows = slice(start, stop)
        return Asked(
            {name: value[rows] for name, value in self.data.items()},
            None if self.vectors is None else self.vectors[rows],
            self.numbers[rows],
            {name: values[rows] for name, values in self.extras.items()},
        )


@dataclass(frozen=True)
class Answers:
    """What the model says of rows after `steps` int32 [n] ACT steps: logits [n, S, V], values of
    halting and of going on fp32 [n]. `last`: nothing more comes of these rows."""

    asked: Asked
    steps: Tensor
    logits: Tensor
    q_halt: Tensor
    q_continue: Tensor
    last: bool

    def __len__(self) -> int:
        return len(self.asked)

    @cached_property
    def predictions(self) -> Tensor:
        """Tokens int64 [n, S] of the answer."""
        return self.logits.argmax(-1)

    @cached_property
    def _counts(self) -> tuple[Tensor, Tensor]:
        """Labelled cells, and those of them that are right: int64 [n] each."""
        labels = self.asked.data["labels"]
        labelled = labels != IGNORE_LABEL
        return labelled.sum(-1), (labelled & (self.predictions == labels)).sum(-1)

    @property
    def scored(self) -> Tensor:
        """bool [n]: the row has a label."""
        return self._counts[0] > 0

    @property
    def solved(self) -> Tensor:
        """bool [n]: the row has a label, and every labelled cell is right."""
        labelled, right = self._counts
        return (labelled > 0) & (labelled == right)

    @property
    def share(self) -> Tensor:
        """Share of labelled cells that are right, float32 [n]; 0 without a label."""
        labelled, right = self._counts
        return right.float() / labelled.clamp(min=1)


def ask(part: EvalBatch, table: PuzzleTable | None, device: torch.device, padded: bool) -> Asked:
    """The rows of an evaluation batch on the device. Rows that pad it are left out, unless
    `padded`: a compiled model wants batches of one shape."""
    data = to_tensors(part.batch, device)
    vectors = table.lookup(data["puzzle_identifiers"]) if table else None
    if padded or (part.index >= 0).all():
        return Asked(data, vectors, part.index, part.extras)
    # Padding is only ever at the end.
    return Asked(data, vectors, part.index, part.extras).part(0, int((part.index >= 0).sum()))


def rollout(reasoner: Reasoner, asked: Asked, at: Collection[int]) -> Iterator[Answers]:
    """The answers after each number of ACT steps in `at`, all from one pass of as many steps as the
    largest. Nothing outside is touched: not the training carry, not a random generator."""
    if not len(asked):
        return
    inputs = asked.data["inputs"]
    embedding = reasoner.embed(inputs, asked.vectors)
    z = reasoner.start(len(inputs), inputs.device)
    most = max(at)
    for step in range(1, most + 1):
        z = reasoner.step(z, embedding)
        if step in at:
            q_halt, q_continue = reasoner.q_values(z)
            steps = torch.full((len(inputs),), step, dtype=torch.int32, device=inputs.device)
            yield Answers(asked, steps, reasoner.logits(z), q_halt, q_continue, last=step == most)
