"""`index.json`: where every member of a split lies. Derived data: the tars are the truth."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.files import replace_file
from hrm_scale.data.format.meta import (
    ALLOWED_DTYPES,
    CODECS,
    COLUMN_DTYPES,
    COLUMN_NAME,
    INDEX_FILE,
    MAX_HEADER_BYTES,
    MAX_MEMBER_BYTES,
    REQUIRED_COLUMNS,
    SHARD_NAME,
    SplitInfo,
    parse_object,
    read_json,
)

INDEX_VERSION = 1


@dataclass(frozen=True)
class ColumnSpec:
    """Same for every record: numpy dtype string, shape of one row, "none" or "zst"."""

    dtype: str
    row_shape: tuple[int, ...]
    codec: str

    @functools.cached_property
    def row_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * math.prod(self.row_shape)


@dataclass(frozen=True)
class MemberEntry:
    """A member's bytes as stored: offset in the shard (of its `.npy` header), size, xxh3-64."""

    offset: int
    size: int
    xxh3: int


@dataclass(frozen=True)
class RecordEntry:
    shard: int
    examples: int
    members: dict[str, MemberEntry]


@dataclass(frozen=True)
class ShardEntry:
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitIndex:
    """Arrays over records. first: int64 [records + 1], number of the record's first example."""

    columns: dict[str, ColumnSpec]
    shards: list[ShardEntry]
    shard: np.ndarray
    examples: np.ndarray
    first: np.ndarray
    offset: dict[str, np.ndarray]
    size: dict[str, np.ndarray]
    xxh3: dict[str, np.ndarray]

    @property
    def records(self) -> int:
        return len(self.examples)

    @classmethod
    def from_records(
        cls, columns: dict[str, ColumnSpec], shards: list[ShardEntry], records: list[RecordEntry]
    ) -> SplitIndex:
        def gather(attribute: str, dtype: type) -> dict[str, np.ndarray]:
            return {
                name: np.array([getattr(r.members[name], attribute) for r in records], dtype)
                for name in columns
            }

        examples = np.array([record.examples for record in records], np.int64)
        return cls(
            columns=dict(columns),
            shards=list(shards),
            shard=np.array([record.shard for record in records], np.int64),
            examples=examples,
            first=np.concatenate([[0], np.cumsum(examples)]),
            offset=gather("offset", np.int64),
            size=gather("size", np.int64),
            xxh3=gather("xxh3", np.uint64),
        )

    def to_json(self) -> str:
        content = {
            "version": INDEX_VERSION,
            "columns": {
                name: {"dtype": c.dtype, "row_shape": list(c.row_shape), "codec": c.codec}
                for name, c in self.columns.items()
            },
            "shards": [vars(shard) for shard in self.shards],
            "records": {
                "shard": self.shard.tolist(),
                "examples": self.examples.tolist(),
                "members": {
                    name: {
                        "offset": self.offset[name].tolist(),
                        "size": self.size[name].tolist(),
                        "xxh3": [f"{value:016x}" for value in self.xxh3[name].tolist()],
                    }
                    for name in self.columns
                },
            },
        }
        return json.dumps(content, separators=(",", ":"), ensure_ascii=True) + "\n"

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SplitIndex:
        """ValueError, KeyError or TypeError when it is not an index this program can trust."""
        if content["version"] != INDEX_VERSION:
            raise ValueError(f"version {content['version']!r} is not {INDEX_VERSION}")
        columns = {
            name: ColumnSpec(c["dtype"], tuple(map(int, c["row_shape"])), c["codec"])
            for name, c in content["columns"].items()
        }
        records = content["records"]
        examples = _numbers(records["examples"])
        members = records["members"]
        index = cls(
            columns=columns,
            shards=[ShardEntry(s["name"], s["bytes"], s["sha256"]) for s in content["shards"]],
            shard=_numbers(records["shard"]),
            examples=examples,
            first=np.concatenate([[0], np.cumsum(examples)]).astype(np.int64),
            offset={name: _numbers(members[name]["offset"]) for name in columns},
            size={name: _numbers(members[name]["size"]) for name in columns},
            xxh3={
                name: np.array([int(v, 16) for v in members[name]["xxh3"]], np.uint64)
                for name in columns
            },
        )
        index.check()
        return index

    def check(self) -> None:
        """ValueError unless every number is sane: nothing may point outside its shard."""
        for name, column in self.columns.items():
            check_column(name, column)
        if missing := [name for name in REQUIRED_COLUMNS if name not in self.columns]:
            raise ValueError(f"columns missing: {', '.join(missing)}")
        for shard in self.shards:
            if not SHARD_NAME.fullmatch(shard.name):
                raise ValueError(f"{shard.name!r} is not the name of a shard")
            if type(shard.bytes) is not int or not 0 <= shard.bytes < 1 << 62:
                raise ValueError(f"{shard.name} has an impossible size")
        count = self.records
        if count == 0 or self.examples.min() < 1 or not self.shards:
            raise ValueError("it lists no records, or records without examples")
        # Before anything is multiplied: 64 bits would wrap around.
        most = int(self.examples.max())
        if any(most * max(c.row_bytes, 1) > MAX_MEMBER_BYTES for c in self.columns.values()):
            raise ValueError(f"a record has {most} examples, more than a member can hold")
        if len(self.shard) != count or self.shard.min() < 0 or self.shard.max() >= len(self.shards):
            raise ValueError("its shard numbers do not fit its shards")
        ends = np.array([shard.bytes for shard in self.shards], np.int64)[self.shard]
        for name, column in self.columns.items():
            offset, size = self.offset[name], self.size[name]
            if not len(offset) == len(size) == len(self.xxh3[name]) == count:
                raise ValueError(f"column {name} does not have one entry per record")
            inside = (offset >= 512) & (offset <= ends) & (size > 0) & (size <= MAX_MEMBER_BYTES)
            if not np.all(inside & (offset + size <= ends)):
                raise ValueError(f"column {name} points outside its shards")
            header = size - self.examples * column.row_bytes
            if column.codec == "none" and not np.all((header > 0) & (header <= MAX_HEADER_BYTES)):
                raise ValueError(f"column {name} has sizes that do not fit its shape")


def _numbers(values: Any) -> np.ndarray:
    """A list of whole numbers as int64 [n]. ValueError for anything that has to be guessed at."""
    array = np.array(values)
    if not isinstance(values, list) or array.ndim != 1 or (array.size and array.dtype.kind != "i"):
        raise ValueError("a list of whole numbers is something else")
    return array.astype(np.int64)


def check_column(name: str, column: ColumnSpec) -> None:
    """ValueError unless a column has an allowed name, type and codec."""
    if not COLUMN_NAME.fullmatch(name) or column.codec not in CODECS:
        raise ValueError(f"column {name!r} with codec {column.codec!r} is not allowed")
    if column.dtype not in ALLOWED_DTYPES or column.dtype != COLUMN_DTYPES.get(name, column.dtype):
        raise ValueError(f"column {name} has dtype {column.dtype!r}")
    if any(size < 0 for size in column.row_shape) or column.row_bytes > MAX_MEMBER_BYTES:
        raise ValueError(f"column {name} has rows of shape {column.row_shape}")


def write_index(folder: Path, index: SplitIndex) -> None:
    """Write `index.json` into a split's folder in one step."""
    replace_file(folder / INDEX_FILE, [index.to_json().encode()])


def read_index(folder: Path, info: SplitInfo) -> SplitIndex:
    """Read `index.json` and compare it with `dataset.json`. DataError when it does not fit."""
    file = folder / INDEX_FILE
    advice = f"delete it and type `python -m tools.shards verify {folder.parent}`"
    return _checked(read_json(file), info, str(file), advice)


def parse_index(content: bytes, info: SplitInfo, where: str, advice: str) -> SplitIndex:
    """`read_index` for the bytes of a file that lies elsewhere."""
    return _checked(parse_object(content, where), info, where, advice)


def _checked(content: dict[str, Any], info: SplitInfo, where: str, advice: str) -> SplitIndex:
    try:
        index = SplitIndex.from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{where}: damaged index ({reason}): {advice}") from error
    match_index(index, info, where, advice)
    return index


def match_index(index: SplitIndex, info: SplitInfo, where: str, advice: str) -> None:
    """DataError unless index and `dataset.json` tell of the same shards and counts."""
    if [shard.sha256 for shard in index.shards] != info.sha256:
        raise DataError(f"{where}: lists other shards than dataset.json (stale index): {advice}")
    if index.records != info.records or int(index.first[-1]) != info.examples:
        raise DataError(f"{where}: counts differ from dataset.json: {advice}")


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
