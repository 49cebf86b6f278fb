"""Sudoku and maze rows: sound boards, the same puzzle in every stripe, repeats, leaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import xxhash

from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.puzzles.maze import layout as maze_symmetry
from hrm_scale.puzzles.maze import rules as maze_rules
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

from ..report import Place, Report
from ..sudoku import geometry_of

Problem = tuple[int, str, str]
"""(row, code, what is wrong)."""


class BoardRules(Protocol):
    """What is particular to a kind whose examples are single boards."""

    def begin(self) -> None:
        """Another split begins."""
        ...

    def problems(
        self, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> Iterable[Problem]:
        """What is wrong with the rows of a record."""
        ...

    def keys(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """uint64 [n], equal where sound examples are the same up to symmetry."""
        ...

    def summary(self) -> str:
        """What was checked, in words."""
        ...


class BoardCheck:
    """Judges records of any split; what concerns two splits is said at the end."""

    def __init__(self, rules: BoardRules, report: Report) -> None:
        self._rules, self._report = rules, report
        self._exact: dict[int, Place] = {}
        self._groups: dict[int, tuple[int, int | None]] = {}
        self._train: dict[int, int] = {}
        self._others: list[tuple[int, Place]] = []
        self._split = ""

    def begin(self, split: str, columns: Mapping[str, Any]) -> bool:
        self._split, self._exact, self._groups = split, {}, {}
        self._rules.begin()
        return True

    def record(
        self, place: Place, first: int, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> None:
        inputs, labels = columns["inputs"], columns["labels"]
        good = np.ones(len(inputs), bool)
        for row, code, text in self._rules.problems(columns, first_stripe=first_stripe):
            good[row] = False
            self._report.found(code, text, _row_place(place, first, row))
        rows = np.flatnonzero(good)
        places = [_row_place(place, first, row) for row in rows.tolist()]
        keys = self._rules.keys(inputs[rows], labels[rows]).tolist()
        groups = columns["groups"][rows].tolist()
        for here, key, group in zip(places, keys, groups, strict=True):
            known, example = self._groups.setdefault(group, (key, here.example))
            if known != key:
                text = f"is not the puzzle of group {group} (as example {example}) in any symmetry"
                self._report.found("E405", text, here)
        if not first_stripe:
            return
        joined = np.concatenate([inputs[rows], labels[rows]], axis=1)
        for here, pair in zip(places, joined, strict=True):
            before = self._exact.setdefault(xxhash.xxh3_64_intdigest(pair), here)
            if before is not here:
                self._report.found("W502", f"is example {before.example} once more", here)
        if self._split == "train":
            for row, key in zip(rows.tolist(), keys, strict=True):
                self._train.setdefault(key, first + row)
        else:
            self._others += zip(keys, places, strict=True)

    def finish(self) -> None:
        before = self._report.total
        for key, place in self._others:
            if key in self._train:
                text = f"is example {self._train[key]} of train, up to symmetry"
                self._report.found("E501", text, place)
        if self._train and self._others:
            text = f"{len(self._others)} examples of other splits: none in train up to symmetry"
            self._report.check(text, before)

    def summary(self) -> str:
        return self._rules.summary()


class SudokuRules:
    """Solved boards that keep their clues.

    unique: also search every question of the first stripe for a second solution.
    """

    def __init__(self, meta: DatasetMeta, *, unique: bool) -> None:
        self._puzzle = Sudoku.of_geometry(geometry_of(meta))
        self._unique = unique
        self.begin()

    def begin(self) -> None:
        self._rows = self._searched = 0

    def problems(
        self, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> Iterable[Problem]:
        inputs, labels = columns["inputs"], columns["labels"]
        self._rows += len(inputs)
        search = self._unique and first_stripe
        found = list(self._puzzle.problems(inputs, labels, unique=search))
        if search:
            self._searched += len(inputs) - sum(code != "E404" for _, code, _ in found)
        return found

    def keys(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return self._puzzle.symmetry.keys(inputs, labels)

    def summary(self) -> str:
        text = f"{self._rows} solved boards that keep their clues"
        return f"{text}, {self._searched} searched for a second solution" if self._unique else text


class MazeRules:
    """One S, one G, and a shortest path between them. ValueError for another kind of board."""

    def __init__(self, meta: DatasetMeta) -> None:
        self._side = int(meta.board.get("height", 0))
        sound = self._side == meta.board.get("width") and self._side**2 == meta.seq_len
        if not sound or meta.vocab_size != maze_rules.VOCABULARY:
            raise ValueError(
                f"board {meta.board} with seq_len {meta.seq_len} and vocab_size {meta.vocab_size} "
                "is no maze"
            )
        self.begin()

    def begin(self) -> None:
        self._rows = 0

    def problems(
        self, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> Iterator[Problem]:
        inputs, labels = columns["inputs"], columns["labels"]
        self._rows += len(inputs)
        for row in np.flatnonzero(maze_rules.bad_rows(inputs, labels, self._side)).tolist():
            text = maze_rules.row_problem(inputs[row], labels[row], self._side) or "is no maze"
            # The answer is at fault, or the board itself.
            yield row, "E411" if text.startswith(("question", "no path")) else "E412", text

    def keys(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        smallest = np.full(len(inputs), np.iinfo(np.uint64).max, np.uint64)
        for number in range(maze_symmetry.TRANSFORMATIONS):
            turned = maze_symmetry.turn(inputs, np.full(len(inputs), number), self._side)
            hashes = np.array([xxhash.xxh3_64_intdigest(row) for row in turned], np.uint64)
            smallest = np.minimum(smallest, hashes)
        return smallest

    def summary(self) -> str:
        return f"{self._rows} mazes with one shortest path marked"


def _row_place(place: Place, first: int, row: int) -> Place:
    return Place(place.path, place.record, row=row, example=first + row)
