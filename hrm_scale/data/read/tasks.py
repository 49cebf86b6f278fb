"""Tasks of a data set and their variants: which task an identifier is of, and the pairs of each."""

from __future__ import annotations

import bisect
import threading
from functools import cached_property
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError, nearest
from hrm_scale.data.format.identifier_table import Task
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.puzzles.arc.grid import FIRST_COLOUR, colour_box, cut, variant_name

Pair = tuple[np.ndarray, np.ndarray]


class DatasetTasks:
    """The tasks of an ARC data set. Every file is read at first use. Thread safe."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._identifiers: dict[str, np.ndarray] = {}
        self._reading = threading.Lock()

    @cached_property
    def tasks(self) -> list[Task]:
        """(name, first identifier, how many) of every task in order, without the blank one."""
        blank = self._dataset.meta.blank_identifier_id
        return [task for task in self._dataset.tasks() if task[1] != blank or task[2] > 1]

    @cached_property
    def variants(self) -> np.ndarray:
        """Variant of every identifier, uint8 [identifiers, 11]."""
        return self._dataset.augmentations()

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    def of(self, identifier: int) -> Task:
        """The task that an identifier belongs to; one of its own where no task has it."""
        at = bisect.bisect_right(self.tasks, identifier, key=lambda task: task[1]) - 1
        if at >= 0 and identifier < self.tasks[at][1] + self.tasks[at][2]:
            return self.tasks[at]
        return f"identifier {identifier}", identifier, 1

    def variant_name(self, identifier: int) -> str:
        """The full name of an identifier: that of its task, and its variant."""
        return variant_name(self.of(identifier)[0], self.variants[identifier])

    def identifier(self, name: str) -> int:
        """The puzzle identifier of a task as it is, without augmentation. DataError."""
        if name not in self._by_name:
            hint = nearest(name, list(self._by_name))
            raise DataError(f"task: {self._dataset.name} has no task {name[:80]!r}.{hint}")
        return self._by_name[name]

    def task(self, name: str) -> dict[str, Any]:
        """`demonstrations` and `tests`, pairs of grids as lists of rows of colours.

        trained: the test pair, the last of its task, is one that the model is trained on. The
        output of a test is None where it is not published.
        """
        shown = self._pairs("train", name)
        tests = self._pairs("test", name)
        trained = not tests
        if trained:
            shown, tests = shown[:-1], shown[-1:]
        hidden = name in self._unsolved
        return {
            "name": name,
            "trained": trained,
            "demonstrations": [{"input": a.tolist(), "output": b.tolist()} for a, b in shown],
            "tests": [
                {"input": a.tolist(), "output": None if hidden else b.tolist()} for a, b in tests
            ],
        }

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {name: first for name, first, _ in self.tasks}

    @cached_property
    def _unsolved(self) -> frozenset[str]:
        facts = self._dataset.meta.extra.get("tasks")
        unsolved = facts.get("unsolved") if isinstance(facts, dict) else None
        return frozenset(unsolved if isinstance(unsolved, list) else ())

    def _pairs(self, split: str, name: str) -> list[Pair]:
        """The pairs of a task in a split, as they were before any augmentation."""
        if split not in self._dataset.meta.splits:
            return []
        rows = np.flatnonzero(self._column(split) == self.identifier(name))
        pairs: list[Pair] = []
        # Most rows of a task are neighbours, which are read together.
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            if len(run):
                names, stop = ["inputs", "labels"], int(run[-1]) + 1
                columns = self._dataset.read(split, names, int(run[0]), stop)
                pairs += [
                    (colours_of(question), colours_of(answer))
                    for question, answer in zip(columns["inputs"], columns["labels"], strict=True)
                ]
        return pairs

    def _column(self, split: str) -> np.ndarray:
        with self._reading:
            if split not in self._identifiers:
                count = self._dataset.split(split).examples
                columns = self._dataset.read(split, ["puzzle_identifiers"], 0, count)
                self._identifiers[split] = columns["puzzle_identifiers"]
            return self._identifiers[split]


def colours_of(tokens: np.ndarray) -> np.ndarray:
    """The colours of the grid in a frame, uint8 [900], wherever it lies; of none one black cell."""
    grid = cut(tokens, colour_box(tokens))
    if not grid.size:
        return np.zeros((1, 1), np.uint8)
    return (grid.clip(FIRST_COLOUR) - FIRST_COLOUR).astype(np.uint8)
