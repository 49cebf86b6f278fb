"""Which variants of each task a data set holds, and the identifier of every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.counter import below, draws, make_key
from hrm_scale.puzzles.arc.dense import VariantTable, task_key
from hrm_scale.puzzles.arc.grid import IDENTITY, VARIANT_BYTES

from .orbit import Orbit, orbit_of
from .task import Task

BLANK = "<blank>"
# Stream of the counter generator; those below 100 belong to hrm_scale.data.
_CHOICE = 121


@dataclass(frozen=True)
class Variants(VariantTable):
    """orbits: int64 [tasks], how many distinct variants there are of each."""

    orbits: np.ndarray

    def runs(self, tasks: Sequence[Task]) -> list[list[str | int]]:
        """`identifiers.json`: name and number of variants of each task."""
        runs: list[list[str | int]] = [[BLANK, 1]]
        counts = self.counts.tolist()
        runs.extend([task.name, count] for task, count in zip(tasks, counts, strict=True))
        return runs


def choose_variants(tasks: Sequence[Task], count: int, seed: int) -> Variants:
    """The original and `count` more variants of each task, or all there are."""
    parts = [IDENTITY[None]]
    orbits = []
    for task in tasks:
        orbit = orbit_of(task.pairs)
        orbits.append(len(orbit))
        parts.append(
            orbit.variants(_choose(orbit, count, make_key(_CHOICE, seed, task_key(task.name))))
        )
    counts = np.array([len(part) for part in parts], np.int64)
    first = np.cumsum(counts)[:-1]
    table = np.concatenate(parts)
    assert table.shape[1] == VARIANT_BYTES
    return Variants(table, first, counts[1:], np.array(orbits, np.int64))


def _choose(orbit: Orbit, count: int, key: int) -> np.ndarray:
    """Numbers of the identity and of `count` others (or all), uniformly, in random order.

    The first steps of a Fisher-Yates shuffle, so a larger count only adds to a smaller one. Step i
    takes what lies at place t_i >= i and puts there what lies at place i. Without other steps that
    touch these two places, that is t_i itself: only steps that meet are gone through one by one.
    """
    others = len(orbit) - 1
    chosen = min(count, others)
    steps = np.arange(chosen)
    targets = steps + below(draws(key, 0, chosen), others - steps)
    _, which, times = np.unique(targets, return_inverse=True, return_counts=True)
    meets = (times[which] > 1) | (targets < chosen)
    meets[targets[targets < chosen]] = True
    moved: dict[int, int] = {}
    numbers = targets.copy()
    for step in np.flatnonzero(meets).tolist():
        target = int(targets[step])
        numbers[step] = moved.get(target, target)
        moved[target] = moved.get(step, step)
    identity = orbit.identity
    return np.append(identity, numbers + (numbers >= identity))
