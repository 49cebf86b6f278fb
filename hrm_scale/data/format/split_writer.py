"""Write one split: cut pieces into records at group boundaries, records into USTAR shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.index import ColumnSpec, SplitIndex, write_index
from hrm_scale.data.format.meta import (
    ALLOWED_DTYPES,
    COLUMN_DTYPES,
    COLUMN_NAME,
    REQUIRED_COLUMNS,
    DatasetMeta,
    SplitInfo,
    row_shape,
)
from hrm_scale.data.format.shard_writer import ShardWriter
from hrm_scale.data.format.values import out_of_range


class SplitWriter:
    """Made by `DatasetWriter.split`. Rows of one group are contiguous within a stripe."""

    def __init__(
        self,
        folder: Path,
        meta: DatasetMeta,
        *,
        chunk_examples: int,
        shard_bytes: int,
        codec: str,
        finished: Callable[[SplitInfo], None],
    ) -> None:
        self._meta = meta
        self._chunk = chunk_examples
        self._finished = finished
        self._codec = codec
        self._shards = ShardWriter(folder, shard_bytes=shard_bytes, codec=codec)
        self._folder = folder
        self._columns: dict[str, ColumnSpec] = {}
        self._pending: dict[str, np.ndarray] = {}
        self._stripe_examples = 0
        self._stripe_first_record = 0
        self._stripe_groups: list[np.ndarray] = []  # first group of every run in this stripe
        self._stripe_puzzles: list[np.ndarray] = []
        self._group_set: np.ndarray | None = None  # sorted groups of the first stripe
        self._puzzles: list[np.ndarray] = []
        self._examples = 0
        self._stripes: list[int] = []

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._shards.abandon()

    def write(self, columns: Mapping[str, np.ndarray]) -> None:
        """Append examples: a mapping of column name to array, one row per example."""
        piece = self._check(columns)
        rows = len(piece["inputs"])
        if rows == 0:
            return
        if self._pending:
            piece = {
                name: np.concatenate([self._pending[name], array]) for name, array in piece.items()
            }
        self._pending = piece
        self._stripe_examples += rows
        self._cut(final=False)

    def end_stripe(self) -> None:
        """Close the current stripe: the next example starts a new record and a new stripe."""
        self._cut(final=True)
        if self._stripe_examples == 0:
            raise DataError("end_stripe() without examples: a stripe holds every group once")
        self._check_stripe()
        self._stripes.append(self._shards.records - self._stripe_first_record)
        self._stripe_first_record = self._shards.records
        self._examples += self._stripe_examples
        self._stripe_examples = 0
        self._stripe_groups, self._stripe_puzzles = [], []

    def close(self) -> None:
        """Finish the split: last record, last shard, `index.json`."""
        if self._stripe_examples:
            self.end_stripe()
        if not self._stripes:
            raise DataError(f"split {self._folder.name!r} has no examples")
        shards = self._shards.close()
        index = SplitIndex.from_records(self._columns, shards, self._shards.entries)
        write_index(self._folder, index)
        assert self._group_set is not None
        puzzles = self._examples
        if "puzzles" in self._columns:
            numbers = np.concatenate(self._puzzles)
            puzzles = len(np.unique(numbers))
            if puzzles != len(numbers):
                raise DataError("a puzzle's examples are not contiguous: sort them by puzzle")
        self._finished(
            SplitInfo(
                groups=len(self._group_set),
                puzzles=puzzles,
                examples=self._examples,
                records=self._shards.records,
                shards=len(shards),
                stripes=_run_lengths(self._stripes),
                sha256=[shard.sha256 for shard in shards],
            )
        )

    def _cut(self, *, final: bool) -> None:
        """Write whole records out of the pending rows; a group never straddles two records."""
        if not self._pending:
            return
        groups = self._pending["groups"]
        total = len(groups)
        ends = np.flatnonzero(groups[1:] != groups[:-1]) + 1
        if final:
            ends = np.append(ends, total)
        start = 0
        while start < total and len(ends):
            target = start + self._chunk
            if not final and target > ends[-1]:
                break
            at = int(np.searchsorted(ends, target, side="right")) - 1
            stop = int(ends[at]) if at >= 0 and ends[at] > start else int(ends[at + 1])
            self._write_record(start, stop)
            start = stop
        self._pending = (
            {name: array[start:].copy() for name, array in self._pending.items()}
            if start < total
            else {}
        )

    def _write_record(self, start: int, stop: int) -> None:
        record = {name: array[start:stop] for name, array in self._pending.items()}
        self._shards.write_record(record)
        groups = record["groups"]
        changes = groups[1:] != groups[:-1]
        self._stripe_groups.append(groups[np.append(True, changes)])
        if "puzzles" in record:
            puzzles = record["puzzles"]
            changes |= puzzles[1:] != puzzles[:-1]
            self._stripe_puzzles.append(puzzles[np.append(True, changes)])

    def _check_stripe(self) -> None:
        groups = np.concatenate(self._stripe_groups)
        distinct = np.unique(groups)
        if len(distinct) != len(groups):
            raise DataError(
                f"split {self._folder.name!r}, stripe {len(self._stripes)}: a group's examples are "
                "not contiguous: write all rows of a group after each other"
            )
        if self._stripe_puzzles:
            self._puzzles.append(np.concatenate(self._stripe_puzzles))
        if self._group_set is None:
            self._group_set = distinct
            self._first_stripe_rows = self._rows_per_group_is_one(len(groups))
            return
        if not np.array_equal(distinct, self._group_set):
            raise DataError(
                f"split {self._folder.name!r}, stripe {len(self._stripes)}: holds other groups "
                "than stripe 0: every stripe holds every group exactly once"
            )
        if not (self._first_stripe_rows and self._rows_per_group_is_one(len(groups))):
            raise DataError(
                f"split {self._folder.name!r}: a striped split holds one puzzle of each group per "
                "stripe: write one, or do not call end_stripe()"
            )

    def _rows_per_group_is_one(self, groups: int) -> bool:
        """Does this stripe hold exactly one puzzle of every group?"""
        if self._stripe_puzzles:
            return sum(map(len, self._stripe_puzzles)) == groups
        return self._stripe_examples == groups

    def _check(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The piece as C-contiguous arrays of the storage types, checked against the schema."""
        where = f"split {self._folder.name!r}"
        if missing := [name for name in REQUIRED_COLUMNS if name not in columns]:
            raise DataError(f"{where}: columns missing: {', '.join(missing)}")
        piece: dict[str, np.ndarray] = {}
        for name in sorted(columns):
            array = np.ascontiguousarray(columns[name])
            if wanted := COLUMN_DTYPES.get(name):
                if array.dtype.str != wanted:
                    raise DataError(f"{where}: column {name} is {array.dtype.str}, not {wanted}")
            elif array.dtype.str not in ALLOWED_DTYPES or not COLUMN_NAME.fullmatch(name):
                raise DataError(
                    f"{where}: column {name!r} of type {array.dtype.str} is not allowed"
                )
            row = row_shape(name, self._meta) if array.ndim else ()
            row = array.shape[1:] if row is None else row
            if array.ndim < 1 or array.shape[1:] != row or len(array) != len(columns["inputs"]):
                raise DataError(f"{where}: column {name} has shape {array.shape}, not [n, {row}]")
            piece[name] = array
        specs = {
            name: ColumnSpec(array.dtype.str, array.shape[1:], self._codec)
            for name, array in piece.items()
        }
        if not self._columns:
            self._columns = specs
        if specs != self._columns:
            raise DataError(f"{where}: the columns of this piece differ from those before it")
        if problem := out_of_range(piece, self._meta):
            raise DataError(f"{where}: {problem}")
        return piece


def _run_lengths(values: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] == value:
            runs[-1][0] += 1
        else:
            runs.append([1, value])
    return runs
