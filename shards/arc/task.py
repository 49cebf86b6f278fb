"""One ARC task: its pairs of grids, checked, and hashes that say which tasks are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.arc.grid import COLOURS, SIDE, parse_name

Pair = tuple[np.ndarray, np.ndarray]
"""Input and output grid, uint8 [h, w] of colours."""
UNKNOWN_OUTPUT = [[0]]
"""Stands for the output of a test pair whose solution is not published: one black cell."""
_MOST_NAME = 200


@dataclass(frozen=True)
class Task:
    """name: file stem or key; subset: the folder or Kaggle subset it comes from.

    evaluation: its test pairs go to the test split. unsolved: outputs of its test pairs are
    UNKNOWN_OUTPUT.
    """

    name: str
    subset: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]
    evaluation: bool
    unsolved: bool = False

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, demonstrations first."""
        return self.demonstrations + self.tests

    @property
    def train_pairs(self) -> tuple[Pair, ...]:
        """What of it is trained on: demonstrations, and the test pairs unless they are asked."""
        return self.demonstrations if self.evaluation else self.pairs

    @cached_property
    def ordered_digest(self) -> str:
        """sha256 over everything that the data set holds of the task, in its order."""
        parts = [b"%d %d" % (self.evaluation, len(self.demonstrations)), *map(pair_key, self.pairs)]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    @cached_property
    def digest(self) -> str:
        """sha256 of what is trained on and what is asked, each without its order.

        Tasks of one digest are the same to a trainer: whether a pair of a training task is called
        demonstration or test makes no difference.
        """
        asked = self.tests if self.evaluation else ()
        content = hashlib.sha256(b"%d" % self.evaluation)
        for pairs in (self.train_pairs, asked):
            content.update(b"%d" % len(pairs))
            for key in sorted(map(pair_key, pairs)):
                content.update(key)
        return content.hexdigest()

    def renamed(self, name: str) -> Task:
        return replace(self, name=name)


def pair_key(pair: Pair) -> bytes:
    """A pair as bytes: the sides of both grids, then their colours."""
    (question, answer) = pair
    return bytes(question.shape + answer.shape) + question.tobytes() + answer.tobytes()


def task_of_json(content: Any, name: str, subset: str, evaluation: bool, where: str) -> Task:
    """The task in a task file: `{"train": [{"input": G, "output": G} ...], "test": [...]}`.

    Further keys are ignored (some files repeat their name). DataError naming `where`.
    """
    _check_name(name, where)
    demonstrations, tests = (_pairs(content, key, where) for key in ("train", "test"))
    return Task(name, subset, demonstrations, tests, evaluation)


def _check_name(name: str, where: str) -> None:
    """DataError for a name that could be taken for that of an augmented puzzle, or is too long."""
    if parse_name(name)[0] != name or name == "<blank>" or not 0 < len(name) <= _MOST_NAME:
        raise DataError(
            f"{where}: {name[:60]!r} cannot name a task (1 to {_MOST_NAME} characters, not "
            "'<blank>', not like 'x|||t3|||0123456789'): rename it"
        )


def pair_list(content: Any, key: str, where: str) -> list[Any]:
    """`content[key]`, a list that is not empty."""
    if not isinstance(content, dict):
        raise DataError(f"{where}: holds a {_kind(content)}, expected an ARC task (an object)")
    pairs = content.get(key)
    if not isinstance(pairs, list) or not pairs:
        found = "is missing" if pairs is None else f"is {'empty' if pairs == [] else _kind(pairs)}"
        raise DataError(f"{where}: {key!r} {found}, expected a list of pairs: repair the task")
    return pairs


def _pairs(content: Any, key: str, where: str) -> tuple[Pair, ...]:
    found = []
    for number, pair in enumerate(pair_list(content, key, where), start=1):
        place = f"{where}, {key} pair {number}"
        if not isinstance(pair, dict):
            raise DataError(f"{place}: is a {_kind(pair)}, expected an object of input and output")
        question, answer = (grid_of(pair.get(s), f"{place}, {s}") for s in ("input", "output"))
        found.append((question, answer))
    return tuple(found)


def grid_of(rows: Any, where: str) -> np.ndarray:
    """A grid uint8 [h, w] from a list of lists. DataError when it is none, or too large."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        found = "is missing" if rows is None else "is not a list of rows"
        raise DataError(f"{where}: the grid {found}: repair the task")
    height, width = len(rows), len(rows[0])
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise DataError(
            f"{where}: the grid is not rectangular (rows of {min(lengths)} to {max(lengths)} "
            "cells): repair the task"
        )
    if not (0 < width <= SIDE and height <= SIDE):
        raise DataError(f"{where}: the grid is {height}x{width}, allowed are 1 to {SIDE} a side")
    cells = [cell for row in rows for cell in row]
    if set(map(type, cells)) != {int} or min(cells) < 0 or max(cells) >= COLOURS:
        bad = next(c for c in cells if type(c) is not int or not 0 <= c < COLOURS)
        raise DataError(f"{where}: holds {_shown(bad)}, colours are 0 to {COLOURS - 1}")
    return np.frombuffer(bytes(cells), np.uint8).reshape(height, width)


def colours_used(pairs: Sequence[Pair]) -> list[int]:
    """Colours other than 0 that occur, ascending."""
    seen = {0}.union(*(grid.tobytes() for pair in pairs for grid in pair))
    return sorted(seen)[1:]


def _kind(value: Any) -> str:
    name = type(value).__name__
    return {"dict": "object", "str": "text", "NoneType": "null"}.get(name, name)


def _shown(cell: Any) -> str:
    return f"{cell!r}"[:30] if isinstance(cell, int | float | str) else _kind(cell)
