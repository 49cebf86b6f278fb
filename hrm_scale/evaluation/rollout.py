"""Running a model on questions: its outputs after each number of ACT steps."""

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
class Query:
    """Rows for the model to answer.

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

    def __getitem__(self, rows: slice | Tensor) -> Query:
        """Some of the rows: a slice, or those of the numbers int64 [m]."""
        places = rows if isinstance(rows, slice) else rows.cpu().numpy()
        return Query(
            {name: value[rows] for name, value in self.data.items()},
            None if self.vectors is None else self.vectors[rows],
            self.numbers[places],
            {name: values[places] for name, values in self.extras.items()},
        )


@dataclass(frozen=True)
class ModelOutputs:
    """Outputs for rows after `steps` int32 [n] ACT steps: logits [n, S, V], Q-values of
    halting and continuing fp32 [n]. `last`: the final outputs of these rows."""

    query: Query
    steps: Tensor
    logits: Tensor
    q_halt: Tensor
    q_continue: Tensor
    last: bool

    def __len__(self) -> int:
        return len(self.query)

    @cached_property
    def predictions(self) -> Tensor:
        """Tokens int64 [n, S] of the answer."""
        return self.logits.argmax(-1)

    @cached_property
    def _counts(self) -> tuple[Tensor, Tensor]:
        """Labelled cells, and those of them that are right: int64 [n] each."""
        labels = self.query.data["labels"]
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


def make_query(
    part: EvalBatch, table: PuzzleTable | None, device: torch.device, padded: bool
) -> Query:
    """The rows of an evaluation batch on the device. Rows that pad it are left out, unless
    `padded`: a compiled model wants batches of one shape."""
    data = to_tensors(part.batch, device)
    vectors = table.lookup(data["puzzle_identifiers"]) if table else None
    if padded or (part.index >= 0).all():
        return Query(data, vectors, part.index, part.extras)
    # Padding is only ever at the end.
    return Query(data, vectors, part.index, part.extras)[: int((part.index >= 0).sum())]


def rollout(
    reasoner: Reasoner, query: Query, report_steps: Collection[int]
) -> Iterator[ModelOutputs]:
    """The outputs after each number of ACT steps in `report_steps`, all from one pass of as many
    steps as the largest. It touches neither the training carry nor a random generator."""
    if not len(query):
        return
    inputs = query.data["inputs"]
    embedding = reasoner.embed(inputs, query.vectors)
    z = reasoner.start(len(inputs), inputs.device)
    max_steps = max(report_steps)
    for step in range(1, max_steps + 1):
        z = reasoner.step(z, embedding)
        if step in report_steps:
            q_halt, q_continue = reasoner.q_values(z)
            steps = torch.full((len(inputs),), step, dtype=torch.int32, device=inputs.device)
            yield ModelOutputs(
                query, steps, reasoner.logits(z), q_halt, q_continue, last=step == max_steps
            )
