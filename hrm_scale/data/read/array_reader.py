"""Read one split of a published `.npy` data folder as if it were shards (see array_folder.py)."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Sequence

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.index import ColumnSpec, ShardEntry, SplitIndex
from hrm_scale.data.format.meta import COLUMN_DTYPES, DatasetMeta
from hrm_scale.data.format.values import out_of_range
from hrm_scale.data.read.array_set import ADVICE, RECORD_EXAMPLES, ArraySet

COLUMNS = ("inputs", "labels", "puzzle_identifiers", "groups", "puzzles")


def virtual_index(sets: Sequence[ArraySet], seq_len: int) -> SplitIndex:
    """The index that shards of these sets, laid end to end, would have; a set is one shard."""
    examples = np.concatenate([np.diff(part.record_rows) for part in sets])
    columns = {
        name: ColumnSpec(
            COLUMN_DTYPES[name], (seq_len,) if name in ("inputs", "labels") else (), "none"
        )
        for name in COLUMNS
    }
    nothing = np.zeros(len(examples), np.int64)
    return SplitIndex(
        columns=columns,
        shards=[
            ShardEntry(part.files["inputs"][0].name, part.files["inputs"][1], part.sha256)
            for part in sets
        ],
        shard=np.repeat(np.arange(len(sets)), [len(part.records) - 1 for part in sets]),
        examples=examples,
        first=np.concatenate([[0], np.cumsum(examples)]),
        offset=dict.fromkeys(columns, nothing),
        size={name: examples * spec.row_bytes for name, spec in columns.items()},
        xxh3=dict.fromkeys(columns, nothing.astype(np.uint64)),
    )


class ArrayReader:
    """Stands in for `SplitReader`: records of mapped arrays, checked when first touched.

    Arrays of one byte per token are read in place; wider ones (the published Sudoku builder
    writes 8 bytes) are narrowed once and held in memory. verify: check the range of the values.
    """

    def __init__(
        self, sets: Sequence[ArraySet], index: SplitIndex, meta: DatasetMeta, *, verify: bool
    ) -> None:
        self._sets, self._index, self._meta, self._verify = sets, index, meta, verify
        self._first = [part.record_rows for part in sets]
        self._counts: list[int] = index.examples.tolist()
        self._shard: list[int] = index.shard.tolist()
        first_record = np.searchsorted(index.shard, np.arange(len(sets)))
        self._local = (np.arange(index.records) - first_record[index.shard]).tolist()
        self._groups_before = _sums_before([len(part.puzzles) - 1 for part in sets])
        self._puzzles_before = _sums_before([len(part.identifiers) for part in sets])
        self._checked = {name: bytearray(index.records) for name in ("inputs", "labels")}
        self._lock = threading.Lock()
        self._whole = functools.cache(self._make_whole)

    @property
    def index(self) -> SplitIndex:
        return self._index

    reads_ahead = False
    scattered = True  # an epoch uses one puzzle of a group, and a record holds all of them

    def want(self, records: Sequence[int]) -> None:
        """Mapped files need no word of what comes next."""

    def stats(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        """Nothing reads ahead."""

    def rows(self, record: int) -> int:
        return self._counts[record]

    def check_sizes(self) -> None:
        """DataError when a file is gone or was cut or changed in length since it was opened."""
        for part in self._sets:
            for path, size in part.files.values():
                found = path.stat().st_size if path.is_file() else None
                if found != size:
                    state = "is missing" if found is None else f"has {found} bytes"
                    raise DataError(f"{path}: {state}, it had {size} when opened: {ADVICE}")

    def columns(self, record: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Columns of one record, [rows, ...] each. DataError naming file and rows if damaged."""
        part, start, stop = self._span(record)
        found = {}
        for name in names:
            if name not in ("inputs", "labels"):
                found[name] = self._repeated(part, name, self._local[record])
                continue
            array = self._tokens(part, name)[start:stop]
            if self._verify and not self._checked[name][record]:
                if problem := out_of_range({name: array}, self._meta):
                    raise DataError(
                        f"{self._sets[part].files[name][0]}: rows {start} to {stop - 1} are out of "
                        f"range: {problem}: {ADVICE}"
                    )
                self._checked[name][record] = 1
            found[name] = array
        return found

    def address(self, record: int, name: str) -> tuple[int, int]:
        """(pseudo shard, byte offset of the record's first row in it) of a column."""
        part, start, _ = self._span(record)
        number = part * len(COLUMNS) + COLUMNS.index(name)
        return number, start * self._index.columns[name].row_bytes

    def shard_bytes(self, shard: int) -> np.ndarray:
        """All rows of one column of one set as read-only uint8."""
        part, column = divmod(shard, len(COLUMNS))
        name = COLUMNS[column]
        tokens = name in ("inputs", "labels")
        array = self._tokens(part, name) if tokens else self._shared(part, name)
        return array.reshape(-1).view(np.uint8)

    def _span(self, record: int) -> tuple[int, int, int]:
        part, local = self._shard[record], self._local[record]
        first = self._first[part]
        return part, int(first[local]), int(first[local + 1])

    def _tokens(self, part: int, name: str) -> np.ndarray:
        """uint8 [n, seq_len] of a set: the mapped file, or narrowed."""
        array: np.ndarray = getattr(self._sets[part], name)
        return array if array.dtype == np.uint8 else self._shared(part, name)

    def _shared(self, part: int, name: str) -> np.ndarray:
        with self._lock:
            return self._whole(part, name)

    def _make_whole(self, part: int, name: str) -> np.ndarray:
        if name not in ("inputs", "labels"):
            return self._repeated(part, name, None)
        array: np.ndarray = getattr(self._sets[part], name)
        narrow = np.empty(array.shape, np.uint8)
        for at in range(0, len(array), RECORD_EXAMPLES * 16):
            rows = slice(at, at + RECORD_EXAMPLES * 16)
            if int(array[rows].min()) < 0 or int(array[rows].max()) > 255:
                problem = out_of_range({name: array[rows]}, self._meta) or "holds no tokens"
                raise DataError(f"{self._sets[part].files[name][0]}: {problem}: {ADVICE}")
            narrow[rows] = array[rows]
        return narrow

    def _repeated(self, part: int, name: str, local: int | None) -> np.ndarray:
        """A column derived from ids and bounds, int32, of one record or (None) the whole set."""
        source = self._sets[part]
        groups = slice(0, len(source.puzzles) - 1)
        if local is not None:
            groups = slice(int(source.records[local]), int(source.records[local + 1]))
        bounds = source.puzzles[groups.start : groups.stop + 1]
        puzzles = slice(int(bounds[0]), int(bounds[-1]))
        sizes = np.diff(source.rows[puzzles.start : puzzles.stop + 1])
        if name == "puzzle_identifiers":
            values = source.identifiers[puzzles]
        elif name == "puzzles":
            values = np.arange(puzzles.start, puzzles.stop) + self._puzzles_before[part]
        else:
            values = np.arange(groups.start, groups.stop) + self._groups_before[part]
            values = np.repeat(values, np.diff(bounds))
        return np.repeat(values, sizes).astype(np.int32)


def _sums_before(counts: list[int]) -> list[int]:
    return [sum(counts[:at]) for at in range(len(counts))]
