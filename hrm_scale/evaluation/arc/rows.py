"""The rows that votes are collected from: every variant of every test pair of every asked task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data import Dataset
from hrm_scale.data.read.mixture import Mixture
from hrm_scale.evaluation.arc.grid_text import read_tokens
from hrm_scale.evaluation.arc.sources import StoredRows, VariantRows
from hrm_scale.puzzles.arc.grid import FIRST_COLOUR, IDENTITY, PAD, VARIANT_BYTES

_BLACK_CELL = b"0"
"""What builders write where the answer of a test pair is not published."""


@dataclass(frozen=True)
class AskedTask:
    """A task and its test pairs before any augmentation, as texts (`grid_text`).

    answers is None where they are not published.
    """

    name: str
    inputs: tuple[bytes, ...]
    answers: tuple[bytes, ...] | None


class ArcRows:
    """What a model is asked, of any ARC data set: rows 0 ... len - 1 and what each is for.

    Online storage holds originals alone: their variants are made when they are read. Dense storage
    and published folders hold them all. Memory beyond the originals and the table of variants is
    at most four bytes a row. DataError when the data set is not one of ARC, or contradicts itself.
    """

    def __init__(self, dataset: Dataset, split: str = "test") -> None:
        if not dataset.meta.puzzle.has_tasks:
            raise DataError(
                f"{dataset.name}: is of kind {dataset.meta.kind!r}, votes are for ARC: "
                "build a data set with `python -m shards.arc`"
            )
        if isinstance(dataset, Mixture):
            raise DataError(
                f"{dataset.name}: is a mixture, whose tasks may share names: give the ARC data set"
                " whose votes are to be counted"
            )
        dataset.split(split)
        self._where = f"{dataset.name}/{split}"
        self._blank = dataset.meta.blank_identifier_id
        self._variants = dataset.augmentations()
        runs = [run for run in dataset.tasks() if run[1] != self._blank]
        firsts = np.array([first for _, first, _ in runs], np.int64)
        self._source: StoredRows | VariantRows
        if dataset.meta.storage == "online":
            self._source = VariantRows(dataset, split, runs, self._variants)
        else:
            self._source = StoredRows(dataset, split, firsts)
        identifiers = self._source.identifiers(np.arange(len(self._source)))
        identifiers = identifiers[identifiers != self._blank]
        if not len(identifiers):
            raise DataError(
                f"{self._where}: no row names a task, nothing can be asked: "
                "build the data set again with `python -m shards.arc`"
            )
        asked = np.unique(np.searchsorted(firsts, identifiers, side="right") - 1)
        self._firsts = firsts[asked]
        self.tasks = self._read_tasks([runs[number][0] for number in asked], _unsolved(dataset))
        self._known = np.array([task.answers is not None for task in self.tasks])

    def __len__(self) -> int:
        return len(self._source)

    def read(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(inputs uint8 [n, 900], labels uint8 [n, 900], puzzle identifiers int32 [n]) of rows.

        Labels are tokens, 0 (PAD) around the grid, and nothing but 0 where the answer is unknown.
        """
        inputs, labels = self._source.tokens(numbers)
        tasks = self.task_of(numbers)
        labels[(tasks >= 0) & ~self._known[tasks]] = PAD
        return inputs, labels, self._source.identifiers(numbers)

    def identifiers(self, numbers: np.ndarray) -> np.ndarray:
        """Puzzle identifiers int32 [n] of rows: one for each variant of each task."""
        return self._source.identifiers(numbers)

    def variants(self, numbers: np.ndarray) -> np.ndarray:
        """uint8 [n, 11], what was done to the task that each row asks."""
        return self._variants[self._source.identifiers(numbers)]

    def task_of(self, numbers: np.ndarray) -> np.ndarray:
        """Number in `tasks` of each row's task, int64 [n]; -1 for rows of the blank identifier."""
        identifiers = self._source.identifiers(numbers)
        tasks = np.searchsorted(self._firsts, identifiers, side="right") - 1
        tasks[identifiers == self._blank] = -1
        return tasks

    def expected(self, numbers: np.ndarray | None = None) -> np.ndarray:
        """How many of these rows (default: of all) belong to each task, int64 [tasks]."""
        owner = self.task_of(np.arange(len(self)) if numbers is None else numbers)
        return np.bincount(owner[owner >= 0], minlength=len(self.tasks))

    def pairs(self, numbers: np.ndarray) -> np.ndarray:
        """Which test pair of its task each row asks, int64 [n]. No row may be of the blank.

        Of stored rows the input tells, once it is turned back. Pairs with the same input take
        turns in the order of their rows. DataError when a row's input is that of no test pair.
        """
        if isinstance(self._source, VariantRows):
            return self._source.pairs(numbers)
        inputs, _ = self._source.tokens(numbers)
        found = np.empty(len(numbers), np.int64)
        tasks = self.task_of(numbers).tolist()
        for at, text in enumerate(read_tokens(inputs, self.variants(numbers))):
            task = self.tasks[tasks[at]]
            same = [pair for pair, own in enumerate(task.inputs) if own == text]
            if not same:
                raise DataError(
                    f"{self._where}: row {numbers[at]} asks none of the test pairs of task "
                    f"{task.name}: build the data set again with `python -m shards.arc`"
                )
            turn = self._turn(int(numbers[at]), inputs[at]) if len(same) > 1 else 0
            found[at] = same[turn % len(same)]
        return found

    def _turn(self, number: int, tokens: np.ndarray) -> int:
        """How many rows of the same variant before this one have the same input."""
        assert isinstance(self._source, StoredRows)
        before, _ = self._source.tokens(np.arange(self._source.run_start(number), number))
        return int((before == tokens).all(axis=1).sum())

    def _read_tasks(self, names: list[str], unsolved: list[str] | None) -> list[AskedTask]:
        """The tasks of the split, in the order of their identifiers."""
        originals = self._source.originals
        inputs, labels = self._source.tokens(originals)
        if len(moved := np.flatnonzero(inputs[:, 0] < FIRST_COLOUR)):
            raise DataError(
                f"{self._where}: row {originals[moved[0]]} does not begin with a colour, its grid "
                "was moved: votes are for a split without translation, such as test"
            )
        pairs: list[list[tuple[bytes, bytes]]] = [[] for _ in names]
        plain = np.broadcast_to(IDENTITY, (len(originals), VARIANT_BYTES))
        texts = zip(read_tokens(inputs, plain), read_tokens(labels, plain), strict=True)
        for owner, pair in zip(self.task_of(originals).tolist(), texts, strict=True):
            pairs[owner].append(pair)
        tasks = []
        for name, own in zip(names, pairs, strict=True):
            if not own:
                raise DataError(
                    f"{self._where}: has variants of task {name}, but not the task itself: "
                    "build the data set again with `python -m shards.arc`"
                )
            questions, answers = zip(*own, strict=True)
            unknown = set(answers) == {_BLACK_CELL} if unsolved is None else name in unsolved
            tasks.append(AskedTask(name, questions, None if unknown else answers))
        return tasks


def _unsolved(dataset: Dataset) -> list[str] | None:
    """Tasks without published answers, where the data set says which; published folders do not.

    There, a task of which every answer is one black cell has none.
    """
    tasks = dataset.meta.extra.get("tasks")
    unsolved = tasks.get("unsolved") if isinstance(tasks, dict) else None
    return unsolved if isinstance(unsolved, list) else None
