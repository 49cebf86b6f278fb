"""The rows of a shuffle window, gathered from its records; damaged records become masked rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.read.buffers import BufferPool
from hrm_scale.data.read.reader import SplitReader

COPY_BYTES = 8 << 20
"""A window up to this size is laid end to end in memory (gathers then hit the cache); a larger
one stays in the mapped files and each row is fetched from there."""


class MaskedRecords:
    """Which records were found damaged, and the budget for them.

    policy: "raise" or "mask". Masking more than `budget` (a share) of the split's examples raises.
    """

    def __init__(self, policy: str, examples: int, budget: float) -> None:
        self.policy = policy
        self.examples = examples
        self.allowed = budget * examples
        self.records: dict[int, int] = {}  # record -> its examples

    @property
    def masked_examples(self) -> int:
        return sum(self.records.values())

    def add(self, record: int, rows: int, error: DataError) -> None:
        """Count a damaged record, or raise."""
        if self.policy == "raise":
            raise error
        self.records[record] = rows
        if self.masked_examples > self.allowed:
            raise DataError(
                f"{self.masked_examples} of {self.examples} examples are damaged, more than "
                f"data.on_error=mask may hide ({int(self.allowed)}); the last one: {error}"
            ) from error


class Window:
    """Columns of several records seen as one table of rows."""

    def __init__(
        self,
        reader: SplitReader,
        records: Sequence[int],
        names: Sequence[str],
        masked: MaskedRecords,
        pool: BufferPool | None = None,
    ) -> None:
        index = reader.index
        self._reader = reader
        self._records = records
        self._counts = [reader.rows(record) for record in records]
        if reader.reads_ahead:
            reader.urgent(records)
        parts: list[dict[str, np.ndarray] | None] = []
        for record, rows in zip(records, self._counts, strict=True):
            try:
                parts.append(reader.columns(record, names))
            except DataError as error:
                masked.add(record, rows, error)
                parts.append(None)
        # What lies elsewhere may be thrown out of the node's cache, but not out of here.
        self._held: list[np.ndarray] = []
        self._damaged: np.ndarray | None = None
        if any(part is None for part in parts):
            self._damaged = np.repeat([part is None for part in parts], self._counts)
        self._tables: dict[str, np.ndarray] = {}
        if len(parts) == 1 and parts[0] is not None:
            self._tables = parts[0]
            return
        specs = {name: index.columns[name] for name in names}
        packed = any(spec.codec != "none" for spec in specs.values())
        size = sum(self._counts) * sum(spec.row_bytes for spec in specs.values())
        if packed or (size <= COPY_BYTES and not reader.scattered):
            pool = pool or BufferPool()
            for name, spec in specs.items():
                table = pool.empty((sum(self._counts), *spec.row_shape), spec.dtype)
                own = [
                    np.zeros((rows, *spec.row_shape), spec.dtype) if part is None else part[name]
                    for part, rows in zip(parts, self._counts, strict=True)
                ]
                self._tables[name] = np.concatenate(own, out=table)
        elif reader.reads_ahead:
            self._held = [part[name] for part in parts if part is not None for name in names]

    @property
    def in_memory(self) -> bool:
        """Are the columns laid end to end in memory?"""
        return bool(self._tables)

    def column(self, name: str) -> np.ndarray:
        """All rows of a column."""
        if name in self._tables:
            return self._tables[name]
        spec = self._reader.index.columns[name]
        column = np.empty((sum(self._counts), *spec.row_shape), spec.dtype)
        self.take(name, np.arange(len(column)), column)
        return column

    def damaged(self, rows: np.ndarray) -> np.ndarray | None:
        """Which of the rows belong to a damaged record, bool [n]; None when none can."""
        return None if self._damaged is None else self._damaged[rows]

    def take(self, name: str, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = row rows[i] of a column. Rows of damaged records have any content."""
        table = self._tables.get(name)
        if table is not None:
            # mode="clip" skips numpy's buffered copy of `out`; the rows are never out of range.
            table.take(rows, axis=0, out=out, mode="clip")
            return
        spec = self._reader.index.columns[name]
        starts = np.cumsum(self._counts) - self._counts
        where = np.searchsorted(starts, rows, side="right") - 1
        local = rows - starts[where]
        places = [self._reader.address(record, name) for record in self._records]
        pieces, offsets = np.array(places, np.int64).T
        target = out.reshape(len(rows), -1).view(np.uint8)
        of_row = pieces[where]
        for piece in np.unique(of_row).tolist():
            chosen = np.flatnonzero(of_row == piece)
            try:
                content = self._reader.shard_bytes(piece)
            except DataError:
                if self._damaged is None:
                    raise
                continue  # missing as a whole, and masked
            begins = offsets[where[chosen]] + local[chosen] * spec.row_bytes
            # Every possible start of a row, as one overlapping view: no copy of the file.
            rows_at = np.lib.stride_tricks.sliding_window_view(content, spec.row_bytes)
            target[chosen] = rows_at[np.minimum(begins, len(rows_at) - 1)]
