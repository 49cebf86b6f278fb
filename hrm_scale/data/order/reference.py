"""The order of the published HRM trainer, in law: puzzles are cut where a batch ends.

An *iteration* is a number of epochs laid end to end. Its global batches are filled puzzle by
puzzle, in the order of `order.py`: the examples of a puzzle come in random order, and those that no
longer fit are left out. A last batch that does not become full is left out too. So an epoch does
not show every example. (Ours makes the draws inside a puzzle depend on the seed alone, and agrees
between ranks; the published one does neither.)

A *position* counts examples trained on, as everywhere; batches begin at multiples of their size.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import NamedTuple

import numpy as np

from hrm_scale.base.cache import SharedCache
from hrm_scale.base.counter import CUT, fold_array, make_key
from hrm_scale.data.order.order import Order, Piece


class _Iteration(NamedTuple):
    """begins: int64 [batches], number of the first example of each batch in the inner order, from
    the iteration's first epoch on; stops: where its last puzzle ends there, whole."""

    begins: np.ndarray
    stops: np.ndarray


class ReferenceOrder:
    """Cuts batches of `batch` examples out of `order`, `epochs` epochs to an iteration."""

    def __init__(self, order: Order, seed: int, batch: int, epochs: int) -> None:
        self._order, self._seed = order, seed
        self._batch, self._epochs = batch, max(1, epochs)
        self._iterations: SharedCache[_Iteration] = SharedCache(2)
        self._batches: SharedCache[list[Piece]] = SharedCache(16)
        self._firsts = [0]  # number of the first batch of the iterations met so far
        self._lock = threading.Lock()

    def epoch_of(self, position: int) -> tuple[int, int]:
        """(epoch, offset in it) of the inner order's example that begins the position's batch."""
        iteration, number = self._find(position // self._batch)
        begin = int(self._iteration(iteration).begins[number])
        return self._order.epoch_of(self._order.epoch_start(iteration * self._epochs) + begin)

    def epoch_start(self, epoch: int) -> int:
        """Position of the first batch that begins in an epoch or after it."""
        iteration, inner = divmod(epoch, self._epochs)
        self._find_iteration(iteration)
        start = self._order.epoch_start(epoch) - self._order.epoch_start(epoch - inner)
        before = int(np.searchsorted(self._iteration(iteration).begins, start))
        return (self._firsts[iteration] + before) * self._batch

    def coming(self, piece: Piece) -> list[int]:
        """Records of the windows that follow."""
        return self._order.coming(piece)

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """The rows at positions start ... stop - 1, cut where window or epoch changes."""
        found = []
        while start < stop:
            number, skip = divmod(start, self._batch)
            wanted = min(stop - start, self._batch - skip)
            start += wanted
            for piece in self._cut(number):
                rows = piece.rows[skip : skip + wanted]
                skip = max(0, skip - len(piece.rows))
                wanted -= len(rows)
                if len(rows):
                    found.append(piece._replace(rows=rows))
        return found

    def _find(self, batch: int) -> tuple[int, int]:
        """(iteration, batch in it) of a global batch."""
        with self._lock:
            while self._firsts[-1] <= batch:
                self._extend()
            iteration = bisect_right(self._firsts, batch) - 1
            return iteration, batch - self._firsts[iteration]

    def _find_iteration(self, iteration: int) -> None:
        with self._lock:
            while len(self._firsts) <= iteration:
                self._extend()

    def _extend(self) -> None:
        batches = len(self._iteration(len(self._firsts) - 1).begins)
        self._firsts.append(self._firsts[-1] + batches)

    def _iteration(self, iteration: int) -> _Iteration:
        def compute() -> _Iteration:
            first = iteration * self._epochs
            sizes = [self._order.puzzle_sizes(first + e) for e in range(self._epochs)]
            ends = np.cumsum(np.concatenate(sizes))
            begins, stops, begin = [], [], 0
            while begin + self._batch <= ends[-1]:
                stop = int(ends[np.searchsorted(ends, begin + self._batch)])
                begins.append(begin)
                stops.append(stop)
                begin = stop
            return _Iteration(np.array(begins, np.int64), np.array(stops, np.int64))

        return self._iterations.get(iteration, compute)

    def _cut(self, batch: int) -> list[Piece]:
        """All rows of a global batch."""

        def compute() -> list[Piece]:
            iteration, number = self._find(batch)
            plan = self._iteration(iteration)
            base = self._order.epoch_start(iteration * self._epochs)
            start, stop = base + int(plan.begins[number]), base + int(plan.stops[number])
            room, cut = self._batch, []
            for piece in self._order.pieces(start, stop):
                rows = self._shuffled(piece)[:room]
                room -= len(rows)
                if len(rows):
                    cut.append(piece._replace(rows=rows))
            return cut

        return self._batches.get(batch, compute)

    def _shuffled(self, piece: Piece) -> np.ndarray:
        """The rows of a piece, those of each puzzle in random order."""
        ends = np.cumsum(self._order.puzzle_sizes(piece.epoch))
        places = piece.offset + np.arange(len(piece.rows))
        puzzles = np.searchsorted(ends, places, side="right")
        drawn = fold_array(make_key(CUT, self._seed, piece.epoch), places)
        return piece.rows[np.lexsort((drawn, puzzles))]
