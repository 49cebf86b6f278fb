"""Several ways of one model to reason about the same puzzles.

Trajectory 0 is the plain one. The others start from a random state (EqR, arXiv 2605.21488) and/or
get noise before each ACT step (PTRM, arXiv 2605.19943). What they draw depends on the seed, the
puzzle's number in the data and the trajectory's number alone: not on batches, ranks or order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.counter import fold_array, make_key
from hrm_scale.models.inference import Reasoner

_TRAJECTORY = 132  # stream of the counter generator


@dataclass(frozen=True)
class Variety:
    """What makes trajectories differ. noise: deviation of what is added to the states."""

    noise: float
    random_start: bool
    seed: int

    def keys(self, numbers: np.ndarray, count: int) -> np.ndarray:
        """A key for each of `count` trajectories of puzzles int64 [n], int64 [n, count]."""
        puzzles = fold_array(make_key(_TRAJECTORY, self.seed), numbers)
        trajectories = np.tile(np.arange(count), (len(numbers), 1))
        return fold_array(puzzles[:, None], trajectories).view(np.int64)


def follow(
    reasoner: Reasoner,
    embedding: Tensor,
    keys: Tensor,
    plain: Tensor,
    variety: Variety,
    report_steps: Collection[int],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Answers uint8 [n, S] and values of halting fp32 [n] after each number of `report_steps`.

    embedding [n, T, D], keys int64 [n]; rows of `plain` (bool [n]) are trajectory 0.
    """
    others = ~plain.view(-1, 1, 1)
    z = reasoner.start(len(embedding), embedding.device)
    if variety.random_start:
        z = _where(others, reasoner.random_start(keys), z)
    for step in range(1, max(report_steps) + 1):
        if variety.noise:
            z = _where(others, reasoner.with_noise(z, keys, step, variety.noise), z)
        z = reasoner.step(z, embedding)
        if step in report_steps:
            yield reasoner.logits(z).argmax(-1).to(torch.uint8), reasoner.q_values(z)[0]


def _where(rows: Tensor, some: tuple[Tensor, ...], rest: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.where(rows, a, b) for a, b in zip(some, rest, strict=True))
