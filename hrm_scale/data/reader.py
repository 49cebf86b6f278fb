"""Read records of one split: mapped shards, checked on first touch."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xxhash

from hrm_scale.data.cache import SharedCache
from hrm_scale.data.format import MAX_HEADER_BYTES, DatasetMeta, npy_header, row_shape
from hrm_scale.data.index import SplitIndex
from hrm_scale.data.members import MemberError, decompress, parse_npy
from hrm_scale.data.values import out_of_range
from hrm_scale.errors import DataError
from hrm_scale.untrusted import open_regular

MAX_OPEN_SHARDS = 256


class SplitReader:
    """Columns of records as arrays: zero-copy views of the mapped file, or unpacked zstd.

    verify: compare every member with its xxh3 and its value ranges when it is first touched.
    """

    def __init__(self, folder: Path, index: SplitIndex, meta: DatasetMeta, *, verify: bool) -> None:
        self._folder = folder
        for name, column in index.columns.items():
            wanted = row_shape(name, meta)
            if wanted is not None and column.row_shape != wanted:
                raise DataError(
                    f"{folder}: rows of column {name} have shape {column.row_shape}, dataset.json"
                    f" asks for {wanted}: build the data set again"
                )
        self._index = index
        self._meta = meta
        self._verify = verify
        self._maps: SharedCache[np.ndarray] = SharedCache(MAX_OPEN_SHARDS)
        self._headers: dict[tuple[str, int], bytes] = {}
        self._checked = {name: bytearray(index.records) for name in index.columns}
        self._lock = threading.Lock()
        # Plain lists: looking up one number in them is several times faster than in an array.
        self._shard: list[int] = index.shard.tolist()
        self._rows: list[int] = index.examples.tolist()
        self._offset = {name: index.offset[name].tolist() for name in index.columns}
        self._size = {name: index.size[name].tolist() for name in index.columns}

    @property
    def index(self) -> SplitIndex:
        return self._index

    def check_sizes(self) -> None:
        """DataError when a shard is missing or shorter or longer than the index says."""
        for shard in self._index.shards:
            path = self._folder / shard.name
            size = path.stat().st_size if path.is_file() else None
            if size is None:
                raise DataError(f"{path}: shard is missing: {self._advice}")
            if size != shard.bytes:
                ends = self._member_ends(self._index.shards.index(shard))
                whole = np.flatnonzero(ends > size)
                first = f", record {int(whole[0]):06d} is the first one hurt" if len(whole) else ""
                word = "truncated" if size < shard.bytes else "too long"
                raise DataError(
                    f"{path}: {word}, {size} bytes instead of {shard.bytes}{first}: {self._advice}"
                )

    def columns(self, record: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Columns of one record, [rows, ...] each. DataError naming shard and record if damaged."""
        return {name: self._column(record, name) for name in names}

    def rows(self, record: int) -> int:
        return self._rows[record]

    def address(self, record: int, name: str) -> tuple[int, int]:
        """(shard, byte offset of the first row) of an uncompressed column."""
        end = self._offset[name][record] + self._size[name][record]
        return self._shard[record], end - self._rows[record] * self._index.columns[name].row_bytes

    def shard_bytes(self, shard: int) -> np.ndarray:
        """A whole shard as a read-only uint8 array over the mapped file."""
        return self._maps.get(shard, lambda: self._map(shard))

    def _column(self, record: int, name: str) -> np.ndarray:
        spec = self._index.columns[name]
        rows = self._rows[record]
        offset, size = self._offset[name][record], self._size[name][record]
        try:
            if self._checked[name][record] and spec.codec == "none":
                stop = offset + size
                data = self.shard_bytes(self._shard[record])[stop - rows * spec.row_bytes : stop]
                return data.view(spec.dtype).reshape(rows, *spec.row_shape)
            whole = self.shard_bytes(self._shard[record])
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
        except MemberError as error:
            shard = self._index.shards[self._shard[record]].name
            where = f"{self._folder / shard}: record {record:06d}, column {name}"
            raise DataError(f"{where} {error}: {self._advice}") from error

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

    def _map(self, shard: int) -> np.ndarray:
        path = self._folder / self._index.shards[shard].name
        try:
            with open_regular(path, links=True) as stream:
                if os.fstat(stream.fileno()).st_size == 0:
                    raise ValueError("the shard is empty")
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise DataError(f"{path}: shard is missing: {self._advice}") from error
        except ValueError as error:
            raise DataError(f"{path}: {error}: {self._advice}") from error
        return np.frombuffer(mapped, np.uint8)

    def _member_ends(self, shard: int) -> np.ndarray:
        """Where each record ends, for records of this shard; 0 for the others."""
        index = self._index
        ends = np.max([index.offset[name] + index.size[name] for name in index.columns], axis=0)
        return np.where(index.shard == shard, ends, 0)

    @property
    def _advice(self) -> str:
        return f"type `python -m tools.shards verify {self._folder.parent}` to see all damage"
