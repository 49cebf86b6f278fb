"""Where the bytes of a split are: pieces of its shards, each a read-only uint8 array."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hrm_scale.base.cache import SharedCache
from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import open_regular
from hrm_scale.data.format.index import SplitIndex

MAX_OPEN_SHARDS = 256


class Pieces(Protocol):
    """Every record lies in one piece: of_record int64 [records] its number, begin int64 [records]
    where in the record's shard that piece begins. advice: what to do about damage."""

    of_record: np.ndarray
    begin: np.ndarray
    name: str
    advice: str
    reads_ahead: bool

    def get(self, piece: int) -> np.ndarray:
        """The bytes of a piece. DataError or EnvironmentProblem when they cannot be had."""
        ...

    def renew(self, piece: int) -> bool:
        """Throw away a damaged copy. False when there is nothing to try again."""
        ...

    def want(self, records: Sequence[int]) -> None:
        """These records come next, in this order; the newest call replaces what others asked."""
        ...

    def urgent(self, records: Sequence[int]) -> None:
        """These records are read right now: before whatever else is wanted."""
        ...

    def check_sizes(self) -> None:
        """DataError when a shard is missing or shorter or longer than the index says."""
        ...

    def stats(self) -> dict[str, float]: ...

    def close(self) -> None: ...


class ShardFiles:
    """Pieces that are whole shards in a folder, mapped."""

    reads_ahead = False

    def __init__(self, folder: Path, index: SplitIndex) -> None:
        self.name = str(folder)
        self.advice = f"type `python -m tools.shards verify {folder.parent}` to see all damage"
        self.of_record = index.shard
        self.begin = np.zeros(index.records, np.int64)
        self._folder, self._index = folder, index
        self._maps: SharedCache[np.ndarray] = SharedCache(MAX_OPEN_SHARDS)

    def get(self, piece: int) -> np.ndarray:
        return self._maps.get(piece, lambda: self._map(piece))

    def renew(self, piece: int) -> bool:
        return False

    def want(self, records: Sequence[int]) -> None:
        """Nothing to do: the files are here."""

    def urgent(self, records: Sequence[int]) -> None:
        """Nothing to do: the files are here."""

    def check_sizes(self) -> None:
        for number, shard in enumerate(self._index.shards):
            path = self._folder / shard.name
            size = path.stat().st_size if path.is_file() else None
            if size is None:
                raise DataError(f"{path}: shard is missing: {self.advice}")
            if size != shard.bytes:
                whole = np.flatnonzero(self._member_ends(number) > size)
                first = f", record {int(whole[0]):06d} is the first one hurt" if len(whole) else ""
                word = "truncated" if size < shard.bytes else "too long"
                raise DataError(
                    f"{path}: {word}, {size} bytes instead of {shard.bytes}{first}: {self.advice}"
                )

    def stats(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        """Nothing to end."""

    def _map(self, shard: int) -> np.ndarray:
        path = self._folder / self._index.shards[shard].name
        try:
            with open_regular(path, links=True) as stream:
                if os.fstat(stream.fileno()).st_size == 0:
                    raise ValueError("the shard is empty")
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise DataError(f"{path}: shard is missing: {self.advice}") from error
        except ValueError as error:
            raise DataError(f"{path}: {error}: {self.advice}") from error
        return np.frombuffer(mapped, np.uint8)

    def _member_ends(self, shard: int) -> np.ndarray:
        """Where each record ends, for records of this shard; 0 for the others."""
        index = self._index
        ends = np.max([index.offset[name] + index.size[name] for name in index.columns], axis=0)
        return np.where(index.shard == shard, ends, 0)
