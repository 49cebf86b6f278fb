"""Read records of one split: views of its shards' bytes, checked on first touch."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xxhash

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.index import ColumnSpec, SplitIndex
from hrm_scale.data.format.members import MemberError, decompress, parse_npy
from hrm_scale.data.format.meta import MAX_HEADER_BYTES, DatasetMeta, npy_header, row_shape
from hrm_scale.data.format.values import out_of_range
from hrm_scale.data.read.pieces import Pieces, ShardFiles


class SplitReader:
    """Columns of records as arrays: zero-copy views of the mapped file, or unpacked zstd.

    verify: compare every member with its xxh3 and its value ranges when it is first touched.
    pieces: where the bytes are, if not in the shards of `folder`.
    """

    def __init__(
        self,
        folder: Path,
        index: SplitIndex,
        meta: DatasetMeta,
        *,
        verify: bool,
        pieces: Pieces | None = None,
    ) -> None:
        self._pieces = pieces or ShardFiles(folder, index)
        self._name = self._pieces.name
        for name, column in index.columns.items():
            wanted = row_shape(name, meta)
            if wanted is not None and column.row_shape != wanted:
                raise DataError(
                    f"{self._name}: rows of column {name} have shape {column.row_shape},"
                    f" dataset.json asks for {wanted}: build the data set again"
                )
        self._index = index
        self._meta = meta
        self._verify = verify
        self._headers: dict[tuple[str, int], bytes] = {}
        self._checked = {name: bytearray(index.records) for name in index.columns}
        self._lock = threading.Lock()
        # Plain lists: looking up one number in them is several times faster than in an array.
        self._piece: list[int] = self._pieces.of_record.tolist()
        self._rows: list[int] = index.examples.tolist()
        begin = self._pieces.begin
        self._offset = {name: (index.offset[name] - begin).tolist() for name in index.columns}
        self._size = {name: index.size[name].tolist() for name in index.columns}

    @property
    def index(self) -> SplitIndex:
        return self._index

    scattered = False
    """Does an epoch use only some of a record's rows, so that copying all of them is a waste?"""

    @property
    def reads_ahead(self) -> bool:
        """Is telling it what comes next (`want`) worth anything?"""
        return self._pieces.reads_ahead

    def check_sizes(self) -> None:
        """DataError when a shard is missing or shorter or longer than the index says."""
        self._pieces.check_sizes()

    def columns(self, record: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Columns of one record, [rows, ...] each. DataError naming shard and record if damaged."""
        return {name: self._column(record, name) for name in names}

    def want(self, records: Sequence[int]) -> None:
        """These records come next, in this order; the newest call replaces what others asked."""
        self._pieces.want(records)

    def urgent(self, records: Sequence[int]) -> None:
        """These records are read right now: before whatever else is wanted."""
        self._pieces.urgent(records)

    def stats(self) -> dict[str, float]:
        """What reading cost so far: empty for a folder; else see `RemotePieces.stats`."""
        return self._pieces.stats()

    def close(self) -> None:
        """End what reads ahead."""
        self._pieces.close()

    def rows(self, record: int) -> int:
        return self._rows[record]

    def address(self, record: int, name: str) -> tuple[int, int]:
        """(piece, byte offset in it of the first row) of an uncompressed column."""
        end = self._offset[name][record] + self._size[name][record]
        return self._piece[record], end - self._rows[record] * self._index.columns[name].row_bytes

    def shard_bytes(self, piece: int) -> np.ndarray:
        """A piece (of a folder: a whole shard) as a read-only uint8 array."""
        return self._pieces.get(piece)

    def _column(self, record: int, name: str) -> np.ndarray:
        spec = self._index.columns[name]
        piece = self._piece[record]
        if self._checked[name][record] and spec.codec == "none":
            rows = self._rows[record]
            stop = self._offset[name][record] + self._size[name][record]
            data = self._pieces.get(piece)[stop - rows * spec.row_bytes : stop]
            return data.view(spec.dtype).reshape(rows, *spec.row_shape)
        try:
            try:
                return self._read(record, name, spec)
            except MemberError:
                if not self._pieces.renew(piece):
                    raise
                return self._read(record, name, spec)
        except MemberError as error:
            shard = self._index.shards[int(self._index.shard[record])].name
            where = f"{self._name}/{shard}: record {record:06d}, column {name}"
            raise DataError(f"{where} {error}: {self._pieces.advice}") from error

    def _read(self, record: int, name: str, spec: ColumnSpec) -> np.ndarray:
        """A column that has to be checked, or unpacked. MemberError says what is wrong with it."""
        rows = self._rows[record]
        offset, size = self._offset[name][record], self._size[name][record]
        whole = self._pieces.get(self._piece[record])
        if offset + size > len(whole):
            raise MemberError("is cut off, the tar is truncated")
        stored = whole[offset : offset + size]
        first_touch = not self._checked[name][record]
        if first_touch and self._verify:
            digest = xxhash.xxh3_64_intdigest(stored.data)
            if digest != int(self._index.xxh3[name][record]):
                raise MemberError(self._diagnosis(stored, spec.codec))
        plain: np.ndarray = stored
        if spec.codec == "zst":
            limit = rows * spec.row_bytes + MAX_HEADER_BYTES
            plain = np.frombuffer(decompress(stored.data, limit), np.uint8)
        header = len(plain) - rows * spec.row_bytes
        if first_touch or spec.codec == "zst":
            self._check_header(plain, header, name, rows)
        array = plain[header:].view(spec.dtype).reshape(rows, *spec.row_shape)
        if first_touch:
            if self._verify and (problem := out_of_range({name: array}, self._meta)):
                raise MemberError(f"is out of range: {problem}")
            self._checked[name][record] = 1
        return array

    def _check_header(self, plain: np.ndarray, length: int, name: str, rows: int) -> None:
        """The header must say what the index says; ours is compared byte for byte."""
        spec = self._index.columns[name]
        with self._lock:
            wanted = self._headers.get((name, rows))
            if wanted is None:
                wanted = npy_header(spec.dtype, (rows, *spec.row_shape))
                self._headers[name, rows] = wanted
        if length == len(wanted) and plain[:length].tobytes() == wanted:
            return
        dtype, shape, found = parse_npy(plain.data)
        if (dtype, shape, found) != (spec.dtype, (rows, *spec.row_shape), length):
            raise MemberError(f"is {dtype} {shape}, the index says {spec.dtype} with {rows} rows")

    @staticmethod
    def _diagnosis(stored: np.ndarray, codec: str) -> str:
        """Why a member's hash may differ: a hostile or foreign header is named as such."""
        if codec == "none":
            try:
                parse_npy(stored.data)
            except MemberError as error:
                return str(error)
        return "is damaged (its xxh3 differs from the index)"
