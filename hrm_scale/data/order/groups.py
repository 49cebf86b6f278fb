"""Groups of several puzzles, puzzles of several examples: which rows an epoch trains on.

The law: in every epoch each group exactly once, one of its puzzles drawn uniformly, all examples
of that puzzle in their order. The draw is keyed by (seed, epoch, group).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.counter import PUZZLES, below, fold_array, make_key, permutation

ReadColumns = Callable[[int], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class GroupTable:
    """Bounds of consecutive runs, each with one more entry than there are runs.

    row_bounds: int64 [puzzles + 1], first row of each puzzle (rows counted over the split);
    puzzle_bounds: int64 [groups + 1], first puzzle of each group; a group that occurs in
    several stripes counts once per stripe; group_bounds: int64 [records + 1], first group.
    """

    row_bounds: np.ndarray
    puzzle_bounds: np.ndarray
    group_bounds: np.ndarray

    @classmethod
    def read(cls, examples: np.ndarray, columns: ReadColumns) -> GroupTable:
        """Build from the `groups` and `puzzles` columns; `columns(record)` returns both.

        Without a `puzzles` column (None) every example is a puzzle of its own.
        """
        parts = [columns(record) for record in range(len(examples))]
        groups = np.concatenate([own for own, _ in parts])
        ends = np.cumsum(examples)
        new_group = np.append(True, groups[1:] != groups[:-1])
        new_group[ends - examples] = True
        new_puzzle = np.ones(len(groups), bool)
        if all(own is not None for _, own in parts):
            puzzles = np.concatenate([own for _, own in parts if own is not None])
            new_puzzle[1:] = new_group[1:] | (puzzles[1:] != puzzles[:-1])
        starts = np.flatnonzero(new_puzzle)
        group_of_row = np.cumsum(new_group)
        puzzles_of_group = np.bincount(group_of_row[starts] - 1)
        return cls(
            row_bounds=np.append(starts, len(groups)).astype(np.int64),
            puzzle_bounds=np.concatenate([[0], np.cumsum(puzzles_of_group)]),
            group_bounds=np.concatenate([[0], group_of_row[ends - 1]]),
        )

    def fixed_record_rows(self) -> np.ndarray | None:
        """Rows each record brings to every epoch; None when they depend on the draw."""
        rows = np.diff(self.row_bounds)
        smallest = np.minimum.reduceat(rows, self.puzzle_bounds[:-1])
        if np.array_equal(smallest, np.maximum.reduceat(rows, self.puzzle_bounds[:-1])):
            return np.add.reduceat(smallest, self.group_bounds[:-1])
        return None

    def record_rows(self, seed: int, epoch: int) -> np.ndarray:
        """Rows each record brings to this epoch, int64 [records]."""
        puzzles = self._draw(np.arange(len(self.puzzle_bounds) - 1), seed, epoch)
        rows = self.row_bounds[puzzles + 1] - self.row_bounds[puzzles]
        return np.add.reduceat(rows, self.group_bounds[:-1])

    def window_rows(self, records: np.ndarray, key: int, seed: int, epoch: int) -> np.ndarray:
        """Rows of a window in training order, as indices into its records laid end to end."""
        puzzles, shift = self._window_puzzles(records, key, seed, epoch)
        return _ranges(self.row_bounds[puzzles] + shift, self.row_bounds[puzzles + 1] + shift)

    def window_sizes(self, records: np.ndarray, key: int, seed: int, epoch: int) -> np.ndarray:
        """Examples of every puzzle of a window in training order."""
        puzzles, _ = self._window_puzzles(records, key, seed, epoch)
        return self.row_bounds[puzzles + 1] - self.row_bounds[puzzles]

    def _window_puzzles(
        self, records: np.ndarray, key: int, seed: int, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Puzzles of a window in training order, and what turns the number of a row of theirs in
        the split into its place in the concatenated window."""
        firsts, lasts = self.group_bounds[records], self.group_bounds[records + 1]
        groups = _ranges(firsts, lasts)
        record_first = self.row_bounds[self.puzzle_bounds[firsts]]
        record_size = self.row_bounds[self.puzzle_bounds[lasts]] - record_first
        shift = np.cumsum(record_size) - record_size - record_first
        shift = np.repeat(shift, lasts - firsts)
        shuffled = permutation(key, len(groups))
        return self._draw(groups[shuffled], seed, epoch), shift[shuffled]

    def _draw(self, groups: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """One puzzle for each group, drawn uniformly among the group's puzzles."""
        first = self.puzzle_bounds[groups]
        count = self.puzzle_bounds[groups + 1] - first
        return first + below(fold_array(make_key(PUZZLES, seed, epoch), groups), count)


def _ranges(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The numbers of start_0 ... stop_0 - 1, start_1 ... after each other."""
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
