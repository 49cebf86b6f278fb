"""The order of training: a pure function of (seed, epoch, position).

Epoch e reads stripe ``pi(e mod A)`` of the A stripes (a split that is not striped has one), where
``pi`` is drawn anew for every A epochs. The stripe's records are permuted and cut into windows of
W records; inside a window everything is permuted at once. What is permuted are groups: each
brings all examples of the one puzzle drawn for it. In the common case, where every group of a
stripe is one example, that is a permutation of rows. No rank, thread or batch size enters.

A *position* counts examples trained on since the very start, over all epochs.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hrm_scale.base.cache import SharedCache
from hrm_scale.base.counter import RECORDS, ROWS, STRIPES, make_key, permutation, permutations
from hrm_scale.data.order.groups import GroupTable

MANY = 1 << 62
# Epochs of one small window (dense Sudoku: 1000 rows) are ordered several at a time: same numbers,
# but the fixed cost of drawing and sorting is shared.
SMALL_EPOCH = 1 << 14
EPOCHS_TOGETHER = 8
AHEAD = 8  # windows that a reader is told of before they are needed


@dataclass(frozen=True)
class Layout:
    """What the order needs to know of a split.

    examples: int64 [records], rows in each record. stripe_bounds: int64 [stripes + 1], first
    record of each stripe. table: None when every group of a stripe is exactly one row.
    """

    examples: np.ndarray
    stripe_bounds: np.ndarray
    table: GroupTable | None = None


class Piece(NamedTuple):
    """Consecutive positions of one window: rows index the window's records laid end to end."""

    epoch: int
    offset: int  # of the first row, in examples since the start of the epoch
    records: tuple[int, ...]
    rows: np.ndarray  # int64 [n]


@dataclass(frozen=True)
class _Plan:
    """One epoch: its records in order, and the offset at which each window starts."""

    records: np.ndarray
    window_starts: np.ndarray  # int64 [windows + 1]


class Order:
    """window: records per shuffle window; None shuffles the whole epoch at once."""

    def __init__(self, layout: Layout, seed: int, window: int | None, cached: int = 3) -> None:
        self._layout = layout
        self._seed = seed
        self._window = window
        self._plans: SharedCache[_Plan] = SharedCache(cached + 2)
        self._windows: SharedCache[tuple[tuple[int, ...], np.ndarray]] = SharedCache(cached)
        self._sizes: SharedCache[np.ndarray] = SharedCache(4)
        self._cycles: SharedCache[tuple[np.ndarray, np.ndarray]] = SharedCache(2)
        self._bounds: list[int] = layout.stripe_bounds.tolist()
        self._stripes = len(self._bounds) - 1
        table = layout.table
        self._fixed = layout.examples if table is None else table.fixed_record_rows()
        if self._fixed is not None:
            sums = np.concatenate([[0], np.cumsum(self._fixed)])
            self._stripe_rows = np.diff(sums[layout.stripe_bounds])
            self._cycle_rows = int(self._stripe_rows.sum())
        self._alike = self._rows_of_every_epoch()
        self._blocks: SharedCache[np.ndarray] = SharedCache(2 + cached)
        self._starts = [0]  # of the epochs met so far, where their lengths differ
        self._starts_lock = threading.Lock()

    def epoch_of(self, position: int) -> tuple[int, int]:
        """(epoch, offset in it) of a position."""
        if position < 0:
            raise ValueError(f"position {position} is negative")
        if self._fixed is None:
            with self._starts_lock:
                while self._starts[-1] <= position:
                    rows = int(self._record_rows(len(self._starts) - 1).sum())
                    self._starts.append(self._starts[-1] + rows)
                epoch = bisect_right(self._starts, position) - 1
                return epoch, position - self._starts[epoch]
        cycle, rest = divmod(position, self._cycle_rows)
        if self._stripes == 1:
            return cycle, rest
        _, starts = self._cycle(cycle)
        inner = int(starts.searchsorted(rest, side="right")) - 1
        return cycle * self._stripes + inner, rest - int(starts[inner])

    def epoch_start(self, epoch: int) -> int:
        """Position of the first example of an epoch."""
        if self._fixed is None:
            while len(self._starts) <= epoch:
                self.epoch_of(self._starts[-1])
            return self._starts[epoch]
        cycle, inner = divmod(epoch, self._stripes)
        return cycle * self._cycle_rows + int(self._cycle(cycle)[1][inner])

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """The rows at positions start ... stop - 1, cut where window or epoch changes."""
        found: list[Piece] = []
        if start >= stop:
            return found
        epoch, offset = self.epoch_of(start)
        wanted = stop - start
        while wanted > 0 and self._alike:
            records, rows = self._small_epoch(epoch)
            taken = rows[offset : offset + wanted]
            found.append(Piece(epoch, offset, records, taken))
            wanted -= len(taken)
            epoch, offset = epoch + 1, 0
        while wanted > 0:
            starts = self._plan(epoch).window_starts
            window = int(starts.searchsorted(offset, side="right")) - 1
            while wanted > 0 and window < len(starts) - 1:
                records, rows = self._window_rows(epoch, window)
                first = offset - int(starts[window])
                taken = rows[first : first + wanted]
                if len(taken):
                    found.append(Piece(epoch, offset, records, taken))
                offset += len(taken)
                wanted -= len(taken)
                window += 1
            epoch, offset = epoch + 1, 0
        return found

    def puzzle_sizes(self, epoch: int) -> np.ndarray:
        """Examples of every puzzle of an epoch in the order of training, int64 [groups]."""
        table = self._layout.table
        if table is None:
            first, last = self._stripe(epoch)
            return np.ones(int(self._layout.examples[first:last].sum()), np.int64)

        def compute() -> np.ndarray:
            windows = range(len(self._plan(epoch).window_starts) - 1)
            parts = [
                table.window_sizes(*self._window_key(epoch, window), self._seed, epoch)
                for window in windows
            ]
            return np.concatenate(parts)

        return self._sizes.get(epoch, compute)

    def coming(self, piece: Piece) -> list[int]:
        """Records of the next AHEAD windows after this piece's, in the order of their use."""
        epoch, records, windows = piece.epoch, [], 0
        starts = self._plan(epoch).window_starts
        window = int(starts.searchsorted(piece.offset, side="right"))
        while windows < AHEAD:
            if window >= len(self._plan(epoch).window_starts) - 1:
                epoch, window = epoch + 1, 0
            records += self._window_key(epoch, window)[0].tolist()
            window, windows = window + 1, windows + 1
        return records

    def _cycle(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        """Stripes in the order this cycle reads them, and the offset in it where each starts."""

        def compute() -> tuple[np.ndarray, np.ndarray]:
            stripes = permutation(make_key(STRIPES, self._seed, cycle), self._stripes)
            return stripes, np.concatenate([[0], np.cumsum(self._stripe_rows[stripes])])

        return self._cycles.get(cycle, compute)

    def _record_rows(self, epoch: int) -> np.ndarray:
        """Examples that each record contributes to an epoch, int64 [records]."""
        if self._fixed is not None:
            return self._fixed
        assert self._layout.table is not None
        return self._layout.table.record_rows(self._seed, epoch)

    def _rows_of_every_epoch(self) -> int:
        """Rows of an epoch if each is one small window and all are equally long, otherwise 0."""
        per_stripe = np.diff(self._layout.stripe_bounds)
        if self._layout.table is not None or (self._window or MANY) < int(per_stripe.max()):
            return 0
        rows = int(self._stripe_rows[0])
        return rows if rows <= SMALL_EPOCH and (self._stripe_rows == rows).all() else 0

    def _stripe(self, epoch: int) -> tuple[int, int]:
        """First record of the stripe an epoch reads, and the one after its last."""
        stripe = 0
        if self._stripes > 1:
            stripe = int(self._cycle(epoch // self._stripes)[0][epoch % self._stripes])
        return self._bounds[stripe], self._bounds[stripe + 1]

    def _plan(self, epoch: int) -> _Plan:
        def compute() -> _Plan:
            first, last = self._stripe(epoch)
            records = permutation(make_key(RECORDS, self._seed, epoch), last - first) + first
            rows = self._record_rows(epoch)[records]
            edges = np.arange(0, len(records), self._window or len(records))
            per_window = np.add.reduceat(rows, edges)
            return _Plan(records, np.concatenate([[0], np.cumsum(per_window)]))

        return self._plans.get(epoch, compute)

    def _small_epoch(self, epoch: int) -> tuple[tuple[int, ...], np.ndarray]:
        """The only window of an epoch; the rows of neighbouring epochs are drawn together."""
        block, inner = divmod(epoch, EPOCHS_TOGETHER)

        def compute() -> np.ndarray:
            epochs = range(block * EPOCHS_TOGETHER, (block + 1) * EPOCHS_TOGETHER)
            return permutations([make_key(ROWS, self._seed, e, 0) for e in epochs], self._alike)

        return tuple(range(*self._stripe(epoch))), self._blocks.get(block, compute)[inner]

    def _window_key(self, epoch: int, window: int) -> tuple[np.ndarray, int]:
        """Records of a window, and the key that its rows are permuted by."""
        plan = self._plan(epoch)
        size = self._window or len(plan.records)
        # The rows are permuted together, so the records may as well be read in file order.
        records = np.sort(plan.records[window * size : (window + 1) * size])
        return records, make_key(ROWS, self._seed, epoch, window)

    def _window_rows(self, epoch: int, window: int) -> tuple[tuple[int, ...], np.ndarray]:
        def compute() -> tuple[tuple[int, ...], np.ndarray]:
            records, key = self._window_key(epoch, window)
            if self._layout.table is None:
                rows = permutation(key, int(self._layout.examples[records].sum()))
            else:
                rows = self._layout.table.window_rows(records, key, self._seed, epoch)
            return tuple(records.tolist()), rows

        return self._windows.get((epoch, window), compute)
