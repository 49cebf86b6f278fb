"""The examples of one split at any position of the order: what a loader cuts batches from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from hrm_scale.base.cache import SharedCache
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.order.groups import GroupTable
from hrm_scale.data.order.order import Layout, Order, Piece
from hrm_scale.data.order.reference import ReferenceOrder
from hrm_scale.data.read.buffers import BufferPool
from hrm_scale.data.read.window import MaskedRecords, Window
from hrm_scale.puzzles.symmetry import AugmentedRows

if TYPE_CHECKING:
    from hrm_scale.data.read.dataset import Dataset
    from hrm_scale.data.read.reader import SplitReader


class Rows(NamedTuple):
    """Examples as they are stored: uint8 [n, S] twice, int32 [n]; which are damaged, if any."""

    inputs: np.ndarray
    labels: np.ndarray
    identifiers: np.ndarray
    damaged: np.ndarray | None


@dataclass(frozen=True)
class ReadOptions:
    """How a split is read; see `Loader`."""

    seed: int
    window: int | None = 16
    threads: int = 1
    on_error: str = "raise"
    verify: bool = True
    mask_budget: float = 0.001
    reference_batch: int | None = None
    reference_epochs: int = 1


class Stream(Protocol):
    """Examples by position. meta describes them; augments: is drawing them work of its own."""

    meta: DatasetMeta
    name: str
    augments: bool

    def rows(self, ranges: list[tuple[int, int]], pool: BufferPool) -> Rows:
        """The examples at positions start ... stop - 1 of all ranges, joined."""
        ...

    @property
    def masked_examples(self) -> int: ...

    def stats(self) -> dict[str, float]: ...

    def epoch_of(self, position: int) -> tuple[int, int]: ...

    def epoch_start(self, epoch: int) -> int: ...

    def close(self) -> None: ...


class SplitStream:
    """One split of one data set."""

    def __init__(self, dataset: Dataset, split: str, options: ReadOptions) -> None:
        self.meta, self.name = dataset.meta, dataset.name
        self._options = options
        kind = self.meta.augmentation.get("kind", "none")
        self.augments = self.meta.storage == "online" and kind != "none"
        self._symmetry = self.meta.puzzle.symmetry if self.augments else None
        if self.augments and (self._symmetry is None or kind != self.meta.kind):
            raise DataError(
                f"{dataset.name}: augmentation {kind!r} cannot be applied while training: "
                "build the data set with --storage dense"
            )
        self._columns = ["inputs", "labels"]
        self._identified = self.meta.num_puzzle_identifiers > 1  # otherwise every one is 0
        if self._identified:
            self._columns.append("puzzle_identifiers")
        self._variants: np.ndarray | None = None
        if self._symmetry is not None:
            self._columns = list(self._symmetry.columns)
            if self._symmetry.uses_variants:
                self._variants = dataset.augmentations()
        self._reader = dataset.reader(split, verify=options.verify)
        if missing := [name for name in self._columns if name not in self._reader.index.columns]:
            raise DataError(
                f"{dataset.name}: split {split!r} lacks the columns {', '.join(missing)}, which"
                f" augmenting {kind} needs: build the data set again"
            )
        if options.on_error == "raise":
            self._reader.check_sizes()
        info = dataset.split(split)
        self._masked = MaskedRecords(options.on_error, info.examples, options.mask_budget)
        cached = 3 + options.threads
        order = split_order(dataset, split, self._reader, options.seed, options.window, cached)
        self._order: Order | ReferenceOrder = order
        if options.reference_batch is not None:
            if len(info.stripe_records) > 1:
                raise ConfigError(
                    f"data.sampling=reference needs all puzzles of a group in one place, but"
                    f" {dataset.name} is striped: use data.sampling=epoch, or build it with"
                    " --storage online"
                )
            self._order = ReferenceOrder(
                order, options.seed, options.reference_batch, options.reference_epochs
            )
        self._pool = BufferPool(max_idle=1)
        self._windows: SharedCache[tuple[Window, AugmentedRows | None]] = SharedCache(cached)
        self._wanted: tuple[int, ...] = ()

    def epoch_of(self, position: int) -> tuple[int, int]:
        """(epoch, offset in the epoch) of a position."""
        return self._order.epoch_of(position)

    def epoch_start(self, epoch: int) -> int:
        """Position of the first example of an epoch."""
        return self._order.epoch_start(epoch)

    @property
    def masked_examples(self) -> int:
        """How many examples on_error=mask has hidden so far."""
        return self._masked.masked_examples

    def stats(self) -> dict[str, float]:
        """What reading from an address cost so far; empty for a folder."""
        return self._reader.stats()

    def close(self) -> None:
        """End what reads ahead."""
        self._reader.close()

    def rows(self, ranges: list[tuple[int, int]], pool: BufferPool) -> Rows:
        """The examples at positions start ... stop - 1 of all ranges, joined."""
        count = sum(stop - start for start, stop in ranges)
        inputs, labels = pool.empty((2, count, self.meta.seq_len), np.uint8)
        identifiers = np.zeros(count, np.int32)
        damaged: np.ndarray | None = None
        at = 0
        pieces = itertools.chain.from_iterable(self._order.pieces(*span) for span in ranges)
        # Small sets have the same window in every epoch: one gather then serves several epochs.
        for records, neighbours in itertools.groupby(pieces, key=lambda piece: piece.records):
            parts = list(neighbours)
            self._read_ahead(parts[-1])
            window, online = self._window(records)
            chosen = parts[0].rows if len(parts) == 1 else np.concatenate([p.rows for p in parts])
            part = slice(at, at + len(chosen))
            out = inputs[part], labels[part], identifiers[part]
            if online is not None:
                online.take(chosen, parts, self._options.seed, out)
            else:
                for name, target in zip(self._columns, out, strict=False):
                    window.take(name, chosen, target)
            if (hurt := window.damaged(chosen)) is not None:
                damaged = np.zeros(count, np.bool_) if damaged is None else damaged
                damaged[part] = hurt
            at = part.stop
        return Rows(inputs, labels, identifiers, damaged)

    def _window(self, records: tuple[int, ...]) -> tuple[Window, AugmentedRows | None]:
        def make() -> tuple[Window, AugmentedRows | None]:
            window = Window(self._reader, records, self._columns, self._masked, self._pool)
            if self._symmetry is None:
                return window, None
            spec = self.meta.augmentation
            return window, self._symmetry.online(window, spec, self._variants, self.name)

        return self._windows.get(records, make)

    def _read_ahead(self, piece: Piece) -> None:
        """Tell the reader which records come next, once per window."""
        if self._reader.reads_ahead and piece.records != self._wanted:
            self._wanted = piece.records
            self._reader.want(self._order.coming(piece))


def split_order(
    dataset: Dataset,
    split: str,
    reader: SplitReader,
    seed: int,
    window: int | None,
    cached: int = 3,
) -> Order:
    """The order of training of a split, whose groups `reader` reads where they are needed.

    DataError when its stripes are not what they should be.
    """
    info, index = dataset.split(split), reader.index
    bounds = np.concatenate([[0], np.cumsum(info.stripe_records)])
    table = None
    if info.groups * (len(bounds) - 1) != info.examples:
        names = [name for name in ("groups", "puzzles") if name in index.columns]

        def read(record: int) -> tuple[np.ndarray, np.ndarray | None]:
            columns = reader.columns(record, names)
            return columns["groups"], columns.get("puzzles")

        table = GroupTable.read(index.examples, read)
        if len(bounds) > 2 and table.fixed_record_rows() is None:
            raise DataError(
                f"{dataset.name}: a stripe of {split} holds several puzzles of a group: type"
                f" `python -m tools.shards lint {dataset.name}`"
            )
    return Order(Layout(index.examples, bounds, table), seed, window, cached)
