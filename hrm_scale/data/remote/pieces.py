"""Pieces of remote shards: found in the node's cache, or downloaded into it, ahead of their use."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from weakref import WeakSet, WeakValueDictionary

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.addresses import RemoteOptions
from hrm_scale.data.format.index import SplitIndex
from hrm_scale.data.remote.downloads import Downloads

AHEAD_BYTES = 512 << 20
"""At most so much is downloaded before somebody reads it (and a quarter of the cache)."""
KEPT = 64
"""Pieces that stay mapped after they were used."""
MAX_MAPPED = 256
"""Beyond that, pieces are read into memory: every mapping costs a file descriptor."""
SCAN = 16
"""Pieces downloaded ahead of a reader that goes from one to the next."""
IDLE_SECONDS = 20.0
_SIZES_CHECKED = 512


class RemotePieces:
    """`Pieces` of a split that lies elsewhere. Threads download what `want` and `urgent` name.

    They end by themselves when there is nothing to do, and never keep a program from ending.
    """

    reads_ahead = True

    def __init__(self, downloads: Downloads, index: SplitIndex, options: RemoteOptions) -> None:
        self.name = downloads.name
        self.advice = downloads.advice
        self._downloads, self._blocks = downloads, downloads.blocks
        self._index = index
        self._threads_wanted = max(1, options.threads)
        self._ahead_bytes = min(AHEAD_BYTES, options.cache_bytes // 4)
        self.of_record = self._blocks.of_record
        self.begin = np.array(self._blocks.begin, np.int64)[self.of_record]
        self._renewed: set[int] = set()
        self._wait_seconds = 0.0
        self._waits = self._hits = 0
        self._start()
        _IN_PROCESS.add(self)

    def _start(self) -> None:
        """Everything that belongs to one process."""
        self._lock = threading.Condition()
        self._live: WeakValueDictionary[int, np.ndarray] = WeakValueDictionary()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._pending: dict[int, Future[np.ndarray | None]] = {}
        self._urgent: deque[int] = deque()
        self._coming: deque[int] = deque()
        self._threads = 0
        self._last = -1

    def after_fork(self) -> None:
        """In the child: the threads, and whatever they held, stayed with the parent."""
        self._start()
        self._downloads.after_fork()

    def get(self, piece: int) -> np.ndarray:
        array = self._live.get(piece)
        if array is not None:
            return array
        begun = time.perf_counter()
        try:
            return self._get(piece)
        finally:
            with self._lock:
                self._wait_seconds += time.perf_counter() - begun

    def _get(self, piece: int) -> np.ndarray:
        if piece == self._last + 1 and piece % (SCAN // 2) == 0:
            # Somebody reads from front to back, and does not say so.
            self._enqueue(range(piece + 1, min(piece + 1 + SCAN, len(self._blocks))), urgent=True)
        self._last = piece
        while True:
            with self._lock:
                array = self._live.get(piece)
                if array is not None:
                    return array
                future = self._pending.get(piece)
                mine = future is None
                if future is None:
                    future = self._pending[piece] = Future()
            if not mine:
                array = future.result()
            else:
                array = self._downloads.cached(piece)
                self._hits += array is not None
                if array is None:
                    self._waits += 1
                    self._run([piece])
                    array = future.result()
                else:
                    self._finish(piece, array, None)
            # None: somebody stored it in the cache, from where this thread takes it next.
            if array is not None:
                return self._keep(piece, array)

    def renew(self, piece: int) -> bool:
        with self._lock:
            if piece in self._renewed:
                return False
            self._renewed.add(piece)
            self._live.pop(piece, None)
            self._kept.pop(piece, None)
        self._downloads.remove(piece)
        return True

    def want(self, records: Sequence[int]) -> None:
        self._enqueue(self._pieces_of(records), urgent=False)

    def urgent(self, records: Sequence[int]) -> None:
        self._enqueue(self._pieces_of(records), urgent=True)

    def _pieces_of(self, records: Sequence[int]) -> Iterable[int]:
        return dict.fromkeys(self.of_record[np.asarray(records, np.int64)].tolist())

    def _enqueue(self, pieces: Iterable[int], urgent: bool) -> None:
        begin, end = self._blocks.begin, self._blocks.end
        with self._lock:
            room = self._ahead_bytes
            chosen: deque[int] = deque()
            for piece in pieces:
                room -= end[piece] - begin[piece]
                if room < 0 and chosen:
                    break
                if piece not in self._live and piece not in self._pending:
                    chosen.append(piece)
            if urgent:
                self._urgent.extend(chosen)
            else:
                self._coming = chosen
            if not chosen:
                return
            for _ in range(min(self._threads_wanted, len(chosen)) - self._threads):
                self._threads += 1
                threading.Thread(target=self._work, name="hrm-download", daemon=True).start()
            self._lock.notify_all()

    def check_sizes(self) -> None:
        """Asks for the first shards only when there are very many; each is checked when read."""
        shards = self._index.shards[:_SIZES_CHECKED]
        with ThreadPoolExecutor(min(self._threads_wanted, len(shards))) as pool:
            for problem in pool.map(self._downloads.size_problem, shards):
                if problem:
                    raise DataError(problem)

    def stats(self) -> dict[str, float]:
        """bytes and requests of this process, retries; pieces found in the node's cache (hits) or
        waited for (waits); wait_seconds: time in which readers stood still."""
        found = self._downloads.stats()
        return {
            **found,
            "hits": self._hits,
            "waits": self._waits,
            "wait_seconds": self._wait_seconds,
        }

    def close(self) -> None:
        """Download nothing more ahead of its use. What is read after this is fetched then."""
        with self._lock:
            self._urgent.clear()
            self._coming.clear()
            self._lock.notify_all()

    def _keep(self, piece: int, array: np.ndarray) -> np.ndarray:
        with self._lock:
            if len(self._live) >= MAX_MAPPED and isinstance(array.base, mmap.mmap):
                array = array.copy()
            self._live[piece] = self._kept[piece] = array
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return array

    def _work(self) -> None:
        while True:
            with self._lock:
                if not (self._urgent or self._coming):
                    self._lock.wait(IDLE_SECONDS)
                if not (self._urgent or self._coming):
                    self._threads -= 1
                    return
                pieces = self._next(self._urgent or self._coming)
            if pieces:
                self._run(pieces)

    def _next(self, queue: deque[int]) -> list[int]:
        """The first wanted piece, with those after it in the shard that are wanted next too."""
        run: list[int] = []
        while queue:
            piece = queue[0]
            if run and not self._downloads.joins(run, piece):
                break
            if piece in self._pending or piece in self._live or self._downloads.has(piece):
                if run:
                    break
                queue.popleft()
                continue
            run.append(queue.popleft())
            self._pending[piece] = Future()
        return run

    def _run(self, pieces: list[int]) -> None:
        """Download claimed pieces; whoever waits for one gets it, or the error."""
        left = set(pieces)

        def finish(piece: int, array: np.ndarray | None) -> None:
            left.discard(piece)
            self._finish(piece, array, None)

        error: BaseException | None = None
        try:
            self._downloads.fetch(pieces, finish)
        except BaseException as caught:
            error = caught
            if not isinstance(caught, Exception):
                raise
        finally:
            for piece in left:
                self._finish(piece, None, error)

    def _finish(self, piece: int, array: np.ndarray | None, error: BaseException | None) -> None:
        with self._lock:
            future = self._pending.pop(piece, None)
            if array is not None:
                self._live[piece] = array
        if future is None:
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(array)


_IN_PROCESS: WeakSet[RemotePieces] = WeakSet()


def _after_fork() -> None:
    for pieces in list(_IN_PROCESS):
        pieces.after_fork()


os.register_at_fork(after_in_child=_after_fork)
