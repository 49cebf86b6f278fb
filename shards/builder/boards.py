"""Examples of one kind of puzzle in memory, and collecting those that differ up to symmetry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hrm_scale.puzzles import Puzzle


@dataclass(frozen=True)
class Boards:
    """n examples of one puzzle, a row each.

    inputs, labels: uint8 [n, cells], tokens. ratings: int32 [n], if there are any. rows: int64 [n],
    the row in the file it came from, counted from 1. sources: uint8 [n], index into `source_names`.
    """

    puzzle: Puzzle
    inputs: np.ndarray
    labels: np.ndarray
    ratings: np.ndarray | None = None
    rows: np.ndarray | None = None
    sources: np.ndarray | None = None
    source_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: np.ndarray) -> Boards:
        return self._with(lambda name: getattr(self, name)[index], [self])

    @classmethod
    def concatenate(cls, parts: Sequence[Boards]) -> Boards:
        """Join boards that share puzzle and source names."""
        return parts[0]._with(
            lambda name: np.concatenate([getattr(part, name) for part in parts]), parts
        )

    def _with(self, column: Callable[[str], np.ndarray], parts: Sequence[Boards]) -> Boards:
        """With each column that all parts have replaced, and without the others."""
        columns: dict[str, Any] = {}
        for name in ("inputs", "labels", "ratings", "rows", "sources"):
            missing = any(getattr(part, name) is None for part in parts)
            columns[name] = None if missing else column(name)
        return replace(self, **columns)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a split; a group is a board's place here."""
        columns = {
            "inputs": self.inputs,
            "labels": self.labels,
            "puzzle_identifiers": np.zeros(len(self), np.int32),
            "groups": np.arange(len(self), dtype=np.int32),
        }
        if self.ratings is not None:
            columns["ratings"] = self.ratings.astype(np.int32)
        if self.sources is not None:
            columns["sources"] = self.sources
        return columns


class Distinct:
    """Collects boards until there are `count` with different keys. progress: called with their
    number after every round."""

    def __init__(self, count: int, progress: Callable[[int], None] | None = None) -> None:
        self._count, self._progress = count, progress
        self._kept: list[Boards] = []
        self._seen: list[np.ndarray] = []
        self.found = 0

    @property
    def missing(self) -> int:
        return self._count - self.found

    def add(self, boards: Boards, keys: np.ndarray, usable: Any = True) -> np.ndarray:
        """Keep the new ones in their order, no more than are missing. keys: [n], equal for the
        same puzzle; usable: bool [n] or all. Which are new, bool [n]."""
        new = np.zeros(len(keys), bool)
        new[np.unique(keys, return_index=True)[1]] = True
        new &= usable
        if self._seen:
            self._seen = [np.concatenate(self._seen)]
            new &= ~np.isin(keys, self._seen[0])
        chosen = np.flatnonzero(new)[: self.missing]
        self._kept.append(boards.take(chosen))
        self._seen.append(keys[chosen])
        self.found += len(chosen)
        if self._progress is not None:
            self._progress(self.found)
        return new

    def boards(self) -> Boards:
        return Boards.concatenate(self._kept)
