"""Training batches: the same bytes for every world size, thread count and accumulation."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_scale.data.augment import augment_packed, draw_augmentations
from hrm_scale.data.batch import Batch, widen
from hrm_scale.data.buffers import BufferPool
from hrm_scale.data.cache import SharedCache
from hrm_scale.data.groups import GroupTable
from hrm_scale.data.order import Layout, Order, Piece
from hrm_scale.data.prefetch import ordered
from hrm_scale.data.window import MaskedRecords, Window
from hrm_scale.errors import ConfigError, DataError

if TYPE_CHECKING:
    from hrm_scale.data.dataset import Dataset

STATE_VERSION = 1
ROWS_TOGETHER = 1536
"""Rows a rank gathers at once where its batches are smaller: what a core's cache holds. Four times
as many with augmentation, whose fixed cost per gather is higher."""


class Loader:
    """Batches of a training split from any position on; each rank makes its own slices only.

    global_batch_size G, accumulation K, ranks R: micro-step m of rank r takes rows
    ``[m*G/K + r*G/(K*R), ... + G/(K*R))`` of global batch b, which is positions [bG, (b+1)G).
    window: records shuffled together, None for the whole epoch. threads: 0 reads in the caller.
    prefetch: global batches made ahead (small ones: at least two gathers of ROWS_TOGETHER rows).
    on_error: "raise" | "mask" (rows of a damaged record become padding with labels -100; more
    than `mask_budget` of the split's examples raises).
    ConfigError for sizes that do not divide; DataError for damage found when opening.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        seed: int,
        global_batch_size: int,
        accumulation: int = 1,
        rank: int = 0,
        ranks: int = 1,
        window: int | None = 16,
        threads: int = 1,
        prefetch: int = 4,
        on_error: str = "raise",
        verify: bool = True,
        mask_budget: float = 0.001,
    ) -> None:
        if global_batch_size < 1 or global_batch_size % (accumulation * ranks):
            raise ConfigError(
                f"global_batch_size={global_batch_size} cannot be cut into accumulation="
                f"{accumulation} times {ranks} processes: make it a multiple of "
                f"{accumulation * ranks}"
            )
        if on_error not in ("raise", "mask"):
            raise ConfigError(f"data.on_error={on_error!r} is unknown: use raise or mask")
        if window is not None and window < 1:
            raise ConfigError(f"data.window={window} must be at least 1, or all")
        self._meta, self._path = dataset.meta, dataset.path
        self._seed = seed
        self._batch = global_batch_size
        self._accumulation = accumulation
        self._rank, self._ranks = rank, ranks
        self._window_size = window
        self._threads, self._prefetch = threads, max(1, prefetch)
        kind = self._meta.augmentation.get("kind", "none")
        self._augment = self._meta.storage == "online" and kind != "none"
        if self._augment and kind != "sudoku":
            raise DataError(
                f"{dataset.path}: augmentation {kind!r} cannot be applied while training: "
                "build the data set with --storage dense"
            )
        self._columns = ["inputs", "labels"]
        self._identified = self._meta.num_puzzle_identifiers > 1  # otherwise every one is 0
        if self._identified:
            self._columns.append("puzzle_identifiers")
        if self._augment:
            self._columns.append("groups")
        self._reader = dataset.reader(split, verify=verify)
        if on_error == "raise":
            self._reader.check_sizes()
        info = dataset.split(split)
        self.masked = MaskedRecords(on_error, info.examples, mask_budget)
        bounds = np.concatenate([[0], np.cumsum(info.stripe_records)])
        table = None
        if info.groups * (len(bounds) - 1) != info.examples:
            table = self._read_groups()
        cached = 3 + threads
        layout = Layout(self._reader.index.examples, bounds, table)
        self._order = Order(layout, seed, window, cached)
        self._windows: SharedCache[Window] = SharedCache(cached)
        self._pool = BufferPool()

    def batches(self, position: int) -> Generator[list[Batch], None, None]:
        """From an absolute position on, endlessly: the micro-batches of this rank, K per item."""
        # Small batches are made several at a time, as the fixed cost of a gather is then shared;
        # the very first comes alone, as somebody waits for it.
        wanted = ROWS_TOGETHER * (4 if self._augment else 1)
        together = max(1, wanted // (self._batch // self._ranks))
        rest = itertools.count(position + self._batch, self._batch * together)
        tasks = itertools.chain([(position, 1)], ((start, together) for start in rest))
        # One gather under way and one waiting, else the thread would idle at every hand-over.
        ahead = max(2, self._prefetch // together)

        def make(task: tuple[int, int]) -> list[list[Batch]]:
            return self._global_batches(*task)

        for group in ordered(make, tasks, threads=self._threads, ahead=ahead):
            yield from group

    def fetch(self, start: int, stop: int) -> Batch:
        """The samples at absolute positions start ... stop - 1, the same bytes as `batches`."""
        return self._gather([(start, stop)])

    def epoch_of(self, position: int) -> tuple[int, int]:
        """(epoch, offset in the epoch) of a position."""
        return self._order.epoch_of(position)

    def epoch_start(self, epoch: int) -> int:
        """Position of the first example of an epoch."""
        return self._order.epoch_start(epoch)

    def state(self, position: int) -> dict[str, Any]:
        """What resuming needs, under 200 bytes as JSON; the same on every rank."""
        return {
            "v": STATE_VERSION,
            "fingerprint": self._meta.fingerprint,
            "seed": self._seed,
            "window": self._window_size,
            "epoch": self._order.epoch_of(position)[0],
            "position": position,
        }

    def resume(self, state: dict[str, Any]) -> int:
        """The position to go on from. DataError when data, seed or window are not the same."""
        if state.get("v") != STATE_VERSION:
            raise DataError(f"data state version {state.get('v')!r} is unknown to this program")
        if state["fingerprint"] != self._meta.fingerprint:
            raise DataError(
                f"the checkpoint was trained on data set {state['fingerprint'][:12]}…, this one"
                f" ({self._path}) is {self._meta.fingerprint[:12]}…: give the data_path of that"
                " data set"
            )
        for name, mine in (("seed", self._seed), ("window", self._window_size)):
            if state[name] != mine:
                key = "seed" if name == "seed" else "data.window"
                raise DataError(
                    f"the checkpoint's data order has {key}={state[name] or 'all'}, this run "
                    f"{mine or 'all'}: type {key}={state[name] or 'all'} to go on exactly"
                )
        return int(state["position"])

    def _global_batches(self, start: int, count: int) -> list[list[Batch]]:
        """This rank's micro-batches of `count` global batches, made in one gather."""
        micro = self._batch // self._accumulation
        rows = micro // self._ranks
        first = start + self._rank * rows
        steps = count * self._accumulation
        if self._ranks == 1:
            ranges = [(start, start + count * self._batch)]
        else:
            ranges = [(first + k * micro, first + k * micro + rows) for k in range(steps)]
        whole = self._gather(ranges)
        parts = [
            Batch(*(array[k * rows : (k + 1) * rows] for array in whole)) for k in range(steps)
        ]
        return [parts[k : k + self._accumulation] for k in range(0, steps, self._accumulation)]

    def _gather(self, ranges: list[tuple[int, int]]) -> Batch:
        rows = sum(stop - start for start, stop in ranges)
        inputs, labels = self._pool.empty((2, rows, self._meta.seq_len), np.uint8)
        identifiers = np.zeros(rows, np.int32)
        damaged: np.ndarray | None = None
        at = 0
        pieces = itertools.chain.from_iterable(self._order.pieces(*span) for span in ranges)
        # Small sets have the same window in every epoch: one gather then serves several epochs.
        for records, neighbours in itertools.groupby(pieces, key=lambda piece: piece.records):
            window, parts = self._window(records), list(neighbours)
            chosen = parts[0].rows if len(parts) == 1 else np.concatenate([p.rows for p in parts])
            part = slice(at, at + len(chosen))
            if self._augment:
                self._take_augmented(window, parts, chosen, (inputs[part], labels[part]))
            else:
                window.take("inputs", chosen, inputs[part])
                window.take("labels", chosen, labels[part])
            if self._identified:
                window.take("puzzle_identifiers", chosen, identifiers[part])
            if (hurt := window.damaged(chosen)) is not None:
                damaged = np.zeros(rows, np.bool_) if damaged is None else damaged
                damaged[part] = hurt
            at = part.stop
        return widen(inputs, labels, identifiers, self._meta, damaged, self._pool)

    def _take_augmented(
        self,
        window: Window,
        pieces: list[Piece],
        chosen: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Rows of a window, each under the symmetry drawn for its place in its epoch."""
        spec = self._meta.augmentation
        groups = np.empty(len(chosen), np.int32)
        window.take("groups", chosen, groups)
        choice = np.concatenate(
            [
                draw_augmentations(spec["count"], self._seed, p.epoch, p.offset, len(p.rows))
                for p in pieces
            ]
        )
        table, rows = window.boards(chosen)
        augment_packed(table, rows, groups, choice, spec["seed"], self._meta.board, out)

    def _window(self, records: tuple[int, ...]) -> Window:
        return self._windows.get(
            records, lambda: Window(self._reader, records, self._columns, self.masked)
        )

    def _read_groups(self) -> GroupTable:
        names = [name for name in ("groups", "puzzles") if name in self._reader.index.columns]

        def read(record: int) -> tuple[np.ndarray, np.ndarray | None]:
            columns = self._reader.columns(record, names)
            return columns["groups"], columns.get("puzzles")

        return GroupTable.read(self._reader.index.examples, read)
