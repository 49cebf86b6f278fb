"""The original pairs of an ARC set: repeated, or in train and test at once, or not as announced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hrm_scale.base.counter import mix_array
from hrm_scale.puzzles.arc.augment import ArcFrames

from .arc import pair_hashes, symmetry_invariants, symmetry_keys
from .report import Place, Report
from .tables import ArcTables


class Original(NamedTuple):
    """Pairs of one group with everything undone: tokens [k, 900], shapes [k, 4]."""

    task: int
    place: Place
    inputs: np.ndarray
    labels: np.ndarray
    shapes: np.ndarray


class Store:
    """Original pairs of the groups met so far, as one table."""

    def __init__(self) -> None:
        self.bounds: dict[int, tuple[int, int]] = {}
        self._parts: list[Original] = []
        self._rows = 0
        self._frames: ArcFrames | None = None
        self._shapes = np.empty((0, 4), np.int64)

    def add(self, group: int, found: Original) -> None:
        self.bounds[group] = (self._rows, len(found.inputs))
        self._rows += len(found.inputs)
        self._parts.append(found)
        self._frames = None

    def shapes(self) -> np.ndarray:
        self.frames()
        return self._shapes

    def frames(self) -> ArcFrames:
        if self._frames is None:
            inputs, labels = (np.concatenate([p[k] for p in self._parts]) for k in (2, 3))
            self._shapes = np.concatenate([part.shapes for part in self._parts])
            groups = np.repeat(list(self.bounds), [len(part.inputs) for part in self._parts])
            self._frames = ArcFrames(inputs, labels, self._shapes.astype(np.uint8), groups)
        return self._frames


Originals = Mapping[int, Original]
"""By group."""


def judge_originals(splits: Mapping[str, Originals], tables: ArcTables, report: Report) -> None:
    """Findings about the originals of all splits."""
    before = report.total
    train = splits.get("train", {})
    _find_repeated(train, tables, report)
    tables_of = {name: _Pairs.of(found) for name, found in splits.items() if found}
    others = [pairs for name, pairs in tables_of.items() if name != "train"]
    asked = set().union(*(pairs.invariants.tolist() for pairs in others))
    known: dict[int, tuple[int, int]] = {}
    for key, pair in tables_of["train"].keys(asked) if train else []:
        known.setdefault(key, pair)
    trained = set(tables_of["train"].invariants.tolist()) if train else set()
    for name in tables_of.keys() - {"train"}:
        for key, (group, number) in tables_of[name].keys(trained):
            if key in known:
                other, other_number = known[key]
                text = (
                    f"pair {number} of {_name(splits[name][group], tables)} is pair {other_number} "
                    f"of {_name(train[other], tables)} in train, up to symmetry"
                )
                report.found("W501", text, splits[name][group].place)
    total = sum(len(item.inputs) for found in splits.values() for item in found.values())
    report.check(f"{total} original pairs: none twice, no test pair in train", before)
    if "test" in splits:
        _compare_test_puzzles(splits["test"], tables, report)


class _Pairs(NamedTuple):
    """The pairs of a split as one table; which: (group, number in it) of each."""

    inputs: np.ndarray
    labels: np.ndarray
    shapes: np.ndarray
    which: list[tuple[int, int]]
    invariants: np.ndarray

    @classmethod
    def of(cls, found: Originals) -> _Pairs:
        items = list(found.values())
        inputs = np.concatenate([item.inputs for item in items])
        labels = np.concatenate([item.labels for item in items])
        shapes = np.concatenate([item.shapes for item in items])
        which = [(group, k) for group, item in found.items() for k in range(len(item.inputs))]
        return cls(inputs, labels, shapes, which, symmetry_invariants(inputs, labels, shapes))

    def keys(self, wanted: set[int]) -> list[tuple[int, tuple[int, int]]]:
        """Symmetry keys of the pairs whose invariant is wanted; no others can be equal."""
        rows = np.flatnonzero([value in wanted for value in self.invariants.tolist()])
        keys = symmetry_keys(self.inputs[rows], self.labels[rows], self.shapes[rows])
        return [
            (key, self.which[row]) for key, row in zip(keys.tolist(), rows.tolist(), strict=True)
        ]


def _find_repeated(train: Originals, tables: ArcTables, report: Report) -> None:
    """Tasks of the same pairs, and a pair that a task has twice."""
    seen: dict[int, int] = {}
    for group, found in train.items():
        hashes = pair_hashes(found.inputs, found.labels)
        if len(np.unique(hashes)) < len(hashes):
            text = f"{_name(found, tables)} has the same pair twice"
            report.found("W500", text, found.place)
        other = seen.setdefault(int(mix_array(hashes).sum()), group)
        if other != group:
            text = f"{_name(found, tables)} has the same pairs as {_name(train[other], tables)}"
            report.found("W502", text, found.place)


def _compare_test_puzzles(test: Originals, tables: ArcTables, report: Report) -> None:
    if tables.test_puzzles is None:
        return
    before = report.total
    stored = {_name(found, tables): found for found in test.values()}
    for name in sorted(stored.keys() ^ tables.test_puzzles.keys()):
        where = "the test split" if name in tables.test_puzzles else "this file"
        report.found("E012", f"task {name} is not in {where}", tables.test_file)
    for name in sorted(stored.keys() & tables.test_puzzles.keys()):
        hashes = pair_hashes(stored[name].inputs, stored[name].labels)
        if sorted(hashes.tolist()) != sorted(pair_hashes(*tables.test_puzzles[name]).tolist()):
            text = f"task {name} has other test pairs than the test split"
            report.found("E012", text, tables.test_file)
    count = len(tables.test_puzzles)
    report.check(f"test puzzles: {count} tasks with the pairs of the test split", before)


def _name(found: Original, tables: ArcTables) -> str:
    return tables.names[found.task]
