"""Where the rows to be asked come from: stored one by one, or made from originals when read.

Both number the rows of a split from 0, and those of a task follow each other.
"""

from __future__ import annotations

import functools

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data import Dataset
from hrm_scale.data.format.identifier_table import Task
from hrm_scale.puzzles.arc.augment import ArcFrames
from hrm_scale.puzzles.arc.grid import CELLS

Tokens = tuple[np.ndarray, np.ndarray]
"""Inputs and labels, uint8 [n, 900]."""


class StoredRows:
    """The rows of a split as they stand, of dense storage or a published folder.

    first_identifiers: int64 [tasks], of the original of each task of the data set, ascending.
    In memory are the identifiers, four bytes a row, and two records.
    """

    def __init__(self, dataset: Dataset, split: str, first_identifiers: np.ndarray) -> None:
        self._reader = dataset.reader(split)
        self._reader.check_sizes()
        self._bounds = self._reader.index.first
        self._identifiers = np.empty(int(self._bounds[-1]), np.int32)
        for record in range(self._reader.index.records):
            column = self._reader.columns(record, ["puzzle_identifiers"])["puzzle_identifiers"]
            self._identifiers[self._bounds[record] : self._bounds[record + 1]] = column
        self.originals = np.flatnonzero(np.isin(self._identifiers, first_identifiers))
        # Compressed records are unpacked whole, and the next batch mostly is of the same one.
        self._record = functools.lru_cache(maxsize=2)(self._read_record)

    def __len__(self) -> int:
        return len(self._identifiers)

    def identifiers(self, numbers: np.ndarray) -> np.ndarray:
        """Puzzle identifiers int32 [n] of rows."""
        return self._identifiers[numbers]

    def tokens(self, numbers: np.ndarray) -> Tokens:
        """Inputs and labels of rows. DataError when the record of one is damaged."""
        inputs, labels = np.empty((2, len(numbers), CELLS), np.uint8)
        records = np.searchsorted(self._bounds, numbers, side="right") - 1
        for record in np.unique(records).tolist():
            at = np.flatnonzero(records == record)
            inside = numbers[at] - self._bounds[record]
            columns = self._record(record)
            inputs[at], labels[at] = columns["inputs"][inside], columns["labels"][inside]
        return inputs, labels

    def run_start(self, number: int) -> int:
        """The first of the rows before `number` that, with no gap, have the same identifier."""
        start = number
        while start and self._identifiers[start - 1] == self._identifiers[number]:
            start -= 1
        return start

    def _read_record(self, record: int) -> dict[str, np.ndarray]:
        return self._reader.columns(record, ("inputs", "labels"))


class VariantRows:
    """Every variant of the originals that online storage holds, made when it is read.

    The order is that of dense storage: by task, variant, pair. In memory are the originals.
    """

    def __init__(
        self, dataset: Dataset, split: str, tasks: list[Task], variants: np.ndarray
    ) -> None:
        names = ["inputs", "labels", "puzzle_identifiers", "shapes"]
        columns = dataset.read(split, names, 0, dataset.split(split).examples)
        firsts = np.array([first for _, first, _ in tasks], np.int64)
        counts = np.array([count for _, _, count in tasks], np.int64)
        owner = np.searchsorted(firsts, columns["puzzle_identifiers"], side="right") - 1
        if len(wrong := np.flatnonzero(firsts[owner] != columns["puzzle_identifiers"])):
            raise DataError(
                f"{dataset.name}/{split}: example {wrong[0]} is no original of a task, online "
                f"storage holds nothing else: type `python -m tools.shards lint {dataset.name}`"
            )
        order = np.argsort(owner, kind="stable")
        self._inputs, self._labels = (np.take(columns[n], order, axis=0) for n in names[:2])
        self._shapes, self._variants = columns["shapes"][order], variants
        self._frames = ArcFrames(self._inputs, self._labels, self._shapes, owner[order])
        asked, begin, pairs = np.unique(owner[order], return_index=True, return_counts=True)
        self._first, self._begin, self._pairs = firsts[asked], begin, pairs
        self._starts = np.concatenate([[0], np.cumsum(pairs * counts[asked])])
        # Variant 0 of a task is its original: the first rows of the task.
        own = np.repeat(self._starts[:-1] - begin, pairs)
        self.originals = np.arange(len(order)) + own

    def __len__(self) -> int:
        return int(self._starts[-1])

    def identifiers(self, numbers: np.ndarray) -> np.ndarray:
        """Puzzle identifiers int32 [n] of rows."""
        task, inside = self._place(numbers)
        return (self._first[task] + inside // self._pairs[task]).astype(np.int32)

    def pairs(self, numbers: np.ndarray) -> np.ndarray:
        """Which test pair of its task each row asks, int64 [n]."""
        task, inside = self._place(numbers)
        return inside % self._pairs[task]

    def tokens(self, numbers: np.ndarray) -> Tokens:
        """Inputs and labels of rows, made from their originals."""
        task, inside = self._place(numbers)
        which = self._begin[task] + inside % self._pairs[task]
        variants = self._variants[self._first[task] + inside // self._pairs[task]]
        inputs, labels = np.empty((2, len(numbers), CELLS), np.uint8)
        still = np.zeros((len(numbers), 2), np.int64)
        self._frames.augment(which, variants, still, (inputs, labels))
        return inputs, labels

    def _place(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        task = np.searchsorted(self._starts, numbers, side="right") - 1
        return task, numbers - self._starts[task]
