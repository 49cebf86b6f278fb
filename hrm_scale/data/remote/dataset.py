"""Data sets that lie elsewhere: web servers, buckets, the hub (docs/streaming.md)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import xxhash

from hrm_scale.base.errors import DataError, EnvironmentProblem
from hrm_scale.data.addresses import RemoteOptions, parse_address
from hrm_scale.data.format.index import SplitIndex, parse_index
from hrm_scale.data.format.meta import (
    DATASET_FILE,
    INDEX_FILE,
    MAX_JSON_BYTES,
    DatasetMeta,
    SplitInfo,
    parse_meta,
    parse_object,
)
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.data.read.reader import SplitReader
from hrm_scale.data.remote.blocks import cut_blocks
from hrm_scale.data.remote.downloads import Downloads, refused
from hrm_scale.data.remote.errors import MissingError, RefusedError, WrongSizeError
from hrm_scale.data.remote.node_cache import NodeCache
from hrm_scale.data.remote.pieces import RemotePieces
from hrm_scale.data.remote.source import Source, open_source

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST_BYTES = 8
Value = TypeVar("Value")


class RemoteDataset(Dataset):
    """A data set at an address; what is read is kept in the cache of this node.

    `dataset.json` is always asked for; everything else is kept under the hashes it names.
    ConfigError for an address that cannot be one; DataError when there is no data set, or a
    damaged one; EnvironmentProblem when the server, the credentials or the cache do not work.
    """

    def __init__(self, address: str, options: RemoteOptions | None = None) -> None:
        self.options = options or RemoteOptions()
        self._source: Source = open_source(parse_address(address), self.options)
        self._cache = NodeCache(self.options)
        self.name = self._source.name
        self.path = Path(self.name)
        self.meta: DatasetMeta = self._read_meta()
        self._indexes: dict[str, SplitIndex] = {}
        self._pieces: dict[str, RemotePieces] = {}

    def reader(self, split: str, *, verify: bool = True) -> SplitReader:
        """A new reader of a split. All readers of a split share what was downloaded."""
        index = self.index(split)
        if split not in self._pieces:
            try:
                blocks = cut_blocks(index)
            except ValueError as error:
                raise DataError(
                    f"{self.name}/{split}/{INDEX_FILE}: damaged index ({error}): publish the data"
                    " set again"
                ) from error
            downloads = Downloads(split, index, blocks, self._source, self._cache, self.options)
            self._pieces[split] = RemotePieces(downloads, index, self.options)
        pieces = self._pieces[split]
        return SplitReader(self.path / split, index, self.meta, verify=verify, pieces=pieces)

    def read_file(self, name: str, limit: int = MAX_JSON_BYTES) -> bytes:
        """A small file that lies beside the splits. DataError when missing or beyond `limit`."""
        return self._cached(name, limit, lambda content: content)

    def close(self) -> None:
        """End downloads and connections. Whoever waits for one gets an EnvironmentProblem."""
        for pieces in self._pieces.values():
            pieces.close()
        self._source.close()

    def _read_meta(self) -> DatasetMeta:
        where = f"{self.name}/{DATASET_FILE}"
        try:
            content = self._source.read_small(DATASET_FILE, MAX_JSON_BYTES)
        except MissingError as error:
            raise DataError(
                f"{self.name}: not a data set (no {DATASET_FILE} there: {error}): check the"
                f" address; {DATASET_FILE} is what is uploaded last"
            ) from error
        except WrongSizeError as error:
            raise DataError(f"{where}: {error}: not a data set of this program") from error
        except RefusedError as error:
            raise EnvironmentProblem(refused(where, error)) from error
        return parse_meta(parse_object(content, where), where)

    def _read_index(self, split: str, info: SplitInfo) -> SplitIndex:
        where = f"{self.name}/{split}/{INDEX_FILE}"
        advice = (
            "type `python -m tools.shards verify DIR` where the data set is, and upload it again"
        )

        def parse(content: bytes) -> SplitIndex:
            index = parse_index(content, info, where, advice)
            if not all(_SHA256.fullmatch(shard.sha256) for shard in index.shards):
                raise DataError(f"{where}: damaged index (a hash that is none): {advice}")
            return index

        return self._cached(f"{split}/{INDEX_FILE}", MAX_JSON_BYTES, parse)

    def _cached(self, name: str, limit: int, parse: Callable[[bytes], Value]) -> Value:
        """A parsed file, from the node's cache or else from the source; what cannot be parsed, or
        is damaged in the cache, is asked for once more."""
        entry = f"{self.meta.fingerprint}-{name.replace('/', '-')}"
        with self._cache.lock(entry, self.options.retry_seconds):
            stored = self._cache.get(entry)
            if stored is not None:
                content = stored[_DIGEST_BYTES:].tobytes()
                if _digest(content) == stored[:_DIGEST_BYTES].tobytes() and len(content) <= limit:
                    with contextlib.suppress(DataError):  # published anew meanwhile, perhaps
                        return parse(content)
            content = self._download(name, limit)
            value = parse(content)
            with contextlib.suppress(OSError):  # a full disk: the next process asks again
                self._cache.put(entry, _digest(content) + content)
            return value

    def _download(self, name: str, limit: int) -> bytes:
        where = f"{self.name}/{name}"
        try:
            return self._source.read_small(name, limit)
        except MissingError as error:
            raise DataError(
                f"{where}: missing ({error}): upload it from the folder of the data set"
            ) from error
        except WrongSizeError as error:
            raise DataError(f"{where}: {error}: publish the data set again") from error
        except RefusedError as error:
            raise EnvironmentProblem(refused(where, error)) from error


def _digest(content: bytes) -> bytes:
    return xxhash.xxh3_64_intdigest(content).to_bytes(_DIGEST_BYTES, "little")
