"""Downloads blocks of a split into the node's cache, each byte once per node."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack

import numpy as np

from hrm_scale.base.errors import DataError, EnvironmentProblem
from hrm_scale.data.addresses import RemoteOptions
from hrm_scale.data.format.index import ShardEntry, SplitIndex
from hrm_scale.data.remote.blocks import Blocks, is_intact
from hrm_scale.data.remote.errors import (
    MissingError,
    NoRangesError,
    RefusedError,
    WrongSizeError,
)
from hrm_scale.data.remote.node_cache import NodeCache
from hrm_scale.data.remote.source import Source

_LOG = logging.getLogger("hrm_scale.data")
REQUEST_BYTES = 4 << 20
"""Neighbouring blocks that are wanted together are one request up to this size."""
MAX_WHOLE_BYTES = 1 << 30
"""Largest shard taken as a whole from a server that knows no ranges."""

Finish = Callable[[int, np.ndarray | None], None]


class Downloads:
    """Blocks of one split. Safe for threads, processes and forks."""

    def __init__(
        self,
        split: str,
        index: SplitIndex,
        blocks: Blocks,
        source: Source,
        cache: NodeCache,
        options: RemoteOptions,
    ) -> None:
        self.name = f"{source.name}/{split}"
        self.advice = (
            "check it where it is published (`python -m tools.shards verify DIR`) and upload it"
            " again"
        )
        self.blocks = blocks
        self._split, self._index = split, index
        self._source, self._cache = source, cache
        self._patience = options.retry_seconds
        self._cache_works = True
        self._start()

    def _start(self) -> None:
        self._lock, self._whole = threading.Lock(), threading.Lock()
        self._probe: Future[bool] | None = None  # does the server know ranges?

    def after_fork(self) -> None:
        self._start()
        self._source.after_fork()

    def cached(self, block: int) -> np.ndarray | None:
        """A block from the node's cache, mapped, unchecked."""
        return self._cache.get(self._entry(block), self._size(block))

    def has(self, block: int) -> bool:
        return self._cache.has(self._entry(block), self._size(block))

    def remove(self, block: int) -> None:
        self._cache.remove(self._entry(block))

    def joins(self, run: list[int], block: int) -> bool:
        """May a block be part of the request for a run of them?"""
        blocks = self.blocks
        return (
            block == run[-1] + 1
            and blocks.shard[block] == blocks.shard[run[0]]
            and blocks.end[block] - blocks.begin[run[0]] <= REQUEST_BYTES
        )

    def fetch(self, run: list[int], finish: Finish) -> None:
        """Bring neighbouring blocks of a shard into the cache; `finish` is called for each one.

        With its bytes, or with None for one that another process brought or is about to bring.
        DataError or EnvironmentProblem, one line, when that fails in the end.
        """
        shard = self._index.shards[self.blocks.shard[run[0]]]
        try:
            if self._in_ranges(shard, run, finish):
                return
            self._fetch_whole(shard, run, finish)
        except MissingError as error:
            raise DataError(
                f"{self.name}/{shard.name}: shard is missing ({error}): {self.advice}"
            ) from error
        except WrongSizeError as error:
            raise DataError(f"{self.name}/{shard.name}: {error}: {self.advice}") from error
        except RefusedError as error:
            raise EnvironmentProblem(refused(f"{self.name}/{shard.name}", error)) from error

    def size_problem(self, shard: ShardEntry) -> str:
        """What is wrong with a shard from the outside; nothing: empty."""
        where = f"{self.name}/{shard.name}"
        try:
            size = self._source.size(f"{self._split}/{shard.name}")
        except MissingError as error:
            return f"{where}: shard is missing ({error}): {self.advice}"
        except RefusedError as error:
            raise EnvironmentProblem(refused(where, error)) from error
        if size is None or size == shard.bytes:
            return ""
        return f"{where}: has {size} bytes instead of {shard.bytes}: {self.advice}"

    def stats(self) -> dict[str, float]:
        return self._source.stats()

    def _in_ranges(self, shard: ShardEntry, run: list[int], finish: Finish) -> bool:
        """`_fetch_range`; False when the server knows no ranges.

        The first request finds that out, and the others wait for it: many at once would be sent
        whole shards for nothing. They fail with it when no server answers.
        """
        with self._lock:
            probe, mine = self._probe or Future(), self._probe is None
            self._probe = probe
        known = True
        try:
            if not mine and not probe.result():
                return False
            self._fetch_range(shard, run, finish)
        except NoRangesError:
            known = False
        except EnvironmentProblem as error:
            if mine:
                self._probe = None
                probe.set_exception(error)
            raise
        finally:
            if mine and not probe.done():
                probe.set_result(known)
        return known

    def _fetch_range(self, shard: ShardEntry, run: list[int], finish: Finish) -> None:
        with ExitStack() as locks:
            locks.enter_context(self._cache.lock(self._entry(run[0]), self._patience))
            todo = []
            for block in run:
                if block != run[0] and not locks.enter_context(
                    self._cache.lock(self._entry(block), 0.0)
                ):
                    break  # another process is at it
                if self.has(block):
                    break
                todo.append(block)
            if todo:
                begin, end = self.blocks.begin[todo[0]], self.blocks.end[todo[-1]]
                data = self._source.read(f"{self._split}/{shard.name}", begin, end, shard.bytes)
                self._take(shard, todo, data, begin, finish)
        for block in run[len(todo) :]:
            finish(block, None)

    def _fetch_whole(self, shard: ShardEntry, run: list[int], finish: Finish) -> None:
        """A server without ranges: the shard as a whole, by one thread of one process."""
        if shard.bytes > MAX_WHOLE_BYTES:
            raise RefusedError(f"the server knows no ranges, and the shard has {shard.bytes} bytes")
        number = self.blocks.shard[run[0]]
        with self._whole, self._cache.lock(shard.sha256, self._patience):
            if all(self.has(block) for block in run):
                for block in run:
                    finish(block, None)
                return
            data = self._source.read(f"{self._split}/{shard.name}", 0, shard.bytes, shard.bytes)
            every = [
                block for block in range(len(self.blocks)) if self.blocks.shard[block] == number
            ]
            self._take(shard, every, data, 0, finish)

    def _take(
        self, shard: ShardEntry, blocks: list[int], data: bytes, begin: int, finish: Finish
    ) -> None:
        """Check what was downloaded, block by block, and store it; damaged blocks once more."""
        for block in blocks:
            start, stop = self.blocks.begin[block], self.blocks.end[block]
            content = memoryview(data)[start - begin : stop - begin]
            intact = is_intact(self._index, self.blocks, block, np.frombuffer(content, np.uint8))
            if not intact:
                path = f"{self._split}/{shard.name}"
                _LOG.warning("%s/%s: came damaged, fetching it again", self.name, shard.name)
                with contextlib.suppress(NoRangesError):
                    content = memoryview(self._source.read(path, start, stop, shard.bytes))
                array = np.frombuffer(content, np.uint8)
                intact = is_intact(self._index, self.blocks, block, array)
            # Damaged bytes are never stored; whoever reads them finds out which record is hurt.
            finish(
                block, self._store(block, content) if intact else np.frombuffer(content, np.uint8)
            )

    def _store(self, block: int, content: memoryview) -> np.ndarray:
        if self._cache_works:
            try:
                return self._cache.put(self._entry(block), content)
            except OSError as error:
                self._cache_works = False
                _LOG.warning(
                    "%s: cannot hold downloaded data any more (%s): every process of this node now"
                    " downloads for itself",
                    self._cache.folder,
                    error.strerror,
                )
        return np.frombuffer(bytes(content), np.uint8)

    def _size(self, block: int) -> int:
        return self.blocks.end[block] - self.blocks.begin[block]

    def _entry(self, block: int) -> str:
        shard = self._index.shards[self.blocks.shard[block]]
        return f"{shard.sha256}-{self.blocks.begin[block]}-{self.blocks.end[block]}"


def refused(where: str, error: RefusedError) -> str:
    return (
        f"{where}: {error}: check the address and the credentials in the environment"
        " (docs/streaming.md in a clone)"
    )
