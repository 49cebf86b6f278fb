"""Every variant of every ARC task laid out as rows: what dense storage holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.counter import make_key, permutation
from hrm_scale.puzzles.arc.augment import ArcFrames, draw_offsets, turned_shapes
from hrm_scale.puzzles.arc.grid import CELLS

_STRIPES = 122
"""Stream of the counter generator; those from 100 on belong to builders."""

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class VariantTable:
    """table: uint8 [N, 11], row i the variant of identifier i (0 is the blank).

    first, counts: int64 [tasks], first identifier and number of variants of each task. Variant 0
    of a task is the original.
    """

    table: np.ndarray
    first: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class PairRows:
    """The original pairs of one split, a task's pairs after each other.

    inputs, labels: tokens uint8 [n, 900], untranslated; shapes: uint8 [n, 4]; task: int64 [n],
    number of each row's task; inside: int64 [n], its number in the task; sizes: int64 [n], pairs
    of its task here; numbers: int64 [groups], the tasks that have rows.
    """

    inputs: np.ndarray
    labels: np.ndarray
    shapes: np.ndarray
    task: np.ndarray
    inside: np.ndarray
    sizes: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(
        cls, inputs: np.ndarray, labels: np.ndarray, shapes: np.ndarray, task: np.ndarray
    ) -> PairRows:
        """task: int64 [n], ascending."""
        numbers, starts, sizes = np.unique(task, return_index=True, return_counts=True)
        place = np.searchsorted(numbers, task)
        inside = np.arange(len(task)) - starts[place]
        return cls(inputs, labels, shapes, task, inside, sizes[place], numbers)

    def __len__(self) -> int:
        return len(self.inputs)


def task_key(name: str) -> int:
    """64 bits of a task's name: what is drawn for a task depends on nothing else of the data."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def train_stripes(
    rows: PairRows, names: Sequence[str], variants: VariantTable, count: int, seed: int
) -> Iterator[Columns]:
    """`count` stripes: each holds one variant of every task, its pairs moved about.

    names: of all tasks; they decide which stripe holds which variant. In memory are the originals
    and one stripe.
    """
    orders = [
        permutation(make_key(_STRIPES, seed, task_key(name)), own).astype(np.int32)
        for name, own in zip(names, variants.counts.tolist(), strict=True)
    ]
    frames = ArcFrames(rows.inputs, rows.labels, rows.shapes, rows.task)
    everyone = np.arange(len(rows))
    for stripe in range(count):
        number = np.array([order[stripe % len(order)] for order in orders], np.int64)
        identifiers = (variants.first + number)[rows.task]
        chosen = variants.table[identifiers]
        shapes = turned_shapes(rows.shapes, chosen)
        offsets = draw_offsets(seed, stripe, rows.task, rows.inside, rows.sizes, shapes)
        puzzles = stripe * len(rows.numbers) + np.searchsorted(rows.numbers, rows.task)
        yield {
            **_augmented(frames, everyone, chosen, offsets, shapes),
            "puzzle_identifiers": identifiers.astype("<i4"),
            "groups": rows.task.astype("<i4"),
            "puzzles": puzzles.astype("<i4"),
        }


def all_variants(rows: PairRows, variants: VariantTable) -> Iterator[Columns]:
    """Piece by piece: all variants of one task, untranslated."""
    frames = ArcFrames(rows.inputs, rows.labels, rows.shapes, rows.task)
    puzzles = 0
    for task in rows.numbers.tolist():
        own = np.flatnonzero(rows.task == task)
        count = int(variants.counts[task])
        number = np.repeat(np.arange(count), len(own))
        identifiers = int(variants.first[task]) + number
        chosen = variants.table[identifiers]
        which = np.tile(own, count)
        shapes = turned_shapes(rows.shapes[which], chosen)
        still = np.zeros((len(which), 2), np.int64)
        yield {
            **_augmented(frames, which, chosen, still, shapes),
            "puzzle_identifiers": identifiers.astype("<i4"),
            "groups": rows.task[which].astype("<i4"),
            "puzzles": (puzzles + number).astype("<i4"),
        }
        puzzles += count


def _augmented(
    frames: ArcFrames,
    which: np.ndarray,
    chosen: np.ndarray,
    offsets: np.ndarray,
    shapes: np.ndarray,
) -> Columns:
    inputs = np.empty((len(which), CELLS), np.uint8)
    labels = np.empty_like(inputs)
    frames.augment(which, chosen, offsets, (inputs, labels))
    return {
        "inputs": inputs,
        "labels": labels,
        "shapes": shapes.astype(np.uint8),
        "offsets": offsets.astype(np.uint8),
    }
