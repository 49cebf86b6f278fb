"""Rows that are single boards: the kind's rules, one puzzle per group, repeats, leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xxhash

from hrm_scale.puzzles import BoardSymmetry, Puzzle

from ..report import Place, Report


class BoardCheck:
    """Judges records of any split; what concerns two splits is reported at the end.

    unique: also search questions of the first stripe for a second solution, where the kind can.
    """

    def __init__(self, puzzle: Puzzle, report: Report, *, unique: bool) -> None:
        self._puzzle, self._report = puzzle, report
        self._unique = unique and puzzle.one_solution
        self._symmetry = _listed(puzzle, report)
        self._exact: dict[int, Place] = {}
        self._groups: dict[int, tuple[int, int | None]] = {}
        self._train: dict[int, int] = {}
        self._others: list[tuple[int, Place]] = []
        self._split = ""
        self._rows = self._searched = 0

    def begin(self, split: str, columns: Mapping[str, Any]) -> bool:
        self._split, self._exact, self._groups = split, {}, {}
        self._rows = self._searched = 0
        return True

    def record(
        self, place: Place, first: int, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> None:
        inputs, labels = columns["inputs"], columns["labels"]
        rows = np.flatnonzero(self._judge_rules(place, first, inputs, labels, first_stripe))
        inputs, labels = inputs[rows], labels[rows]
        places = [_row_place(place, first, row) for row in rows.tolist()]
        hashes = [xxhash.xxh3_64_intdigest(row) for row in np.concatenate([inputs, labels], axis=1)]
        keys = hashes
        if self._symmetry is not None:
            keys = self._symmetry.keys(inputs, labels).tolist()
            self._judge_groups(places, keys, columns["groups"][rows].tolist())
        if not first_stripe:
            return
        for here, pair in zip(places, hashes, strict=True):
            before = self._exact.setdefault(pair, here)
            if before is not here:
                self._report.found("W502", f"is example {before.example} once more", here)
        if self._split == "train":
            for row, key in zip(rows.tolist(), keys, strict=True):
                self._train.setdefault(key, first + row)
        else:
            self._others += zip(keys, places, strict=True)

    def finish(self) -> None:
        before = self._report.total
        how = "" if self._symmetry is None else " up to symmetry"
        for key, place in self._others:
            if key in self._train:
                self._report.found("E501", f"is example {self._train[key]} of train{how}", place)
        if self._train and self._others:
            text = f"{len(self._others)} examples of other splits: none in train{how}"
            self._report.check(text, before)

    def summary(self) -> str:
        text = f"{self._rows} boards of {self._puzzle.title}"
        if self._puzzle.has_rules:
            text += " that keep its rules"
        return f"{text}, {self._searched} searched for a second solution" if self._unique else text

    def _judge_rules(
        self, place: Place, first: int, inputs: np.ndarray, labels: np.ndarray, first_stripe: bool
    ) -> np.ndarray:
        """bool [n]: which rows are sound puzzles of the kind?"""
        good = np.ones(len(inputs), bool)
        self._rows += len(inputs)
        if not self._puzzle.has_rules:
            return good
        search = self._unique and first_stripe
        self._searched += len(inputs) if search else 0
        for row, code, text in self._puzzle.problems(inputs, labels, unique=search):
            good[row] = False
            # Only sound puzzles are searched.
            self._searched -= search and code != "E404"
            self._report.found(code, text, _row_place(place, first, row))
        return good

    def _judge_groups(self, places: list[Place], keys: list[int], groups: list[int]) -> None:
        for here, key, group in zip(places, keys, groups, strict=True):
            known, example = self._groups.setdefault(group, (key, here.example))
            if known != key:
                text = f"is not the puzzle of group {group} (as example {example}) in any symmetry"
                self._report.found("E405", text, here)


def _listed(puzzle: Puzzle, report: Report) -> BoardSymmetry | None:
    """The symmetries of a kind, where puzzles that are equal up to them can be recognised."""
    symmetry = puzzle.symmetry
    if not isinstance(symmetry, BoardSymmetry):
        report.sound("the kind has no symmetries: leaks and repeats are looked for as they stand")
        return None
    nothing = np.zeros((0, puzzle.cells), np.uint8)
    try:
        symmetry.keys(nothing, nothing)
    except ValueError as error:
        report.sound(f"{error}: groups, and leaks up to symmetry, are not checked")
        return None
    return symmetry


def _row_place(place: Place, first: int, row: int) -> Place:
    return Place(place.path, place.record, row=row, example=first + row)
