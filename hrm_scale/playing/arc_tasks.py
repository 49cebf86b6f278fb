"""The ARC tasks of the data set: their names, demonstrations and test pairs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError, nearest
from hrm_scale.data import Dataset
from hrm_scale.puzzles.arc.grid import FIRST_COLOUR, SIDE

Pair = tuple[np.ndarray, np.ndarray]


class ArcTasks:
    """Tasks by name. Reads the names when made, and of each split the identifiers at first use."""

    def __init__(self, dataset: Dataset) -> None:
        blank = dataset.meta.blank_identifier_id
        self._dataset = dataset
        self._first = {name: first for name, first, _ in dataset.tasks() if first != blank}
        self._identifiers: dict[str, np.ndarray] = {}
        self._reading = threading.Lock()
        facts = dataset.meta.extra.get("tasks")
        unsolved = facts.get("unsolved") if isinstance(facts, dict) else None
        self._unsolved = frozenset(unsolved if isinstance(unsolved, list) else ())

    @property
    def names(self) -> list[str]:
        return sorted(self._first)

    def identifier(self, name: str) -> int:
        """The puzzle identifier of a task as it is, without augmentation. DataError."""
        if name not in self._first:
            hint = nearest(name, list(self._first))
            raise DataError(f"task: {self._dataset.name} has no task {name[:80]!r}.{hint}")
        return self._first[name]

    def task(self, name: str) -> dict[str, Any]:
        """`demonstrations` and `tests`, pairs of grids as lists of rows; `trained` tells that the
        test pair, the last of its task, is one the model was trained on. The output of a test is
        None where it is not published."""
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
    """The grid of a row of the data set, uint8 [900], wherever it was moved in its frame: the
    rectangle that all colours lie in."""
    frame = tokens.reshape(SIDE, SIDE)
    colours = frame >= FIRST_COLOUR
    rows, columns = (np.flatnonzero(colours.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((1, 1), np.uint8)
    grid = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (grid.clip(FIRST_COLOUR) - FIRST_COLOUR).astype(np.uint8)
