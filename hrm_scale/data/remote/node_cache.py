"""Files that all processes of a node share: what one downloaded, the others find.

An entry is named after its content (hash of the shard, range of bytes), so it is never out of date.
It appears by a rename, complete or not at all. There is no fsync: whoever reads an entry compares
it with the hashes of the index on first touch, and fetches it again where power was lost.

A lock (`flock`, which the kernel takes back from a process that dies) makes one process download
what several want. Beyond the limit the least recently used entries go; a mapped one stays readable
to those who have it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.data.addresses import RemoteOptions

LOCKS = 4096
"""Lock files; entries share them by the hash of their name."""
TOTAL = "bytes"
"""The file that holds the sum of all entries, and the lock for it."""
KEPT_SHARE = 0.9
"""What is left of the limit after throwing out, so that it is not done for every new entry."""
TOUCH_SECONDS = 5.0
ABANDONED_SECONDS = 60.0
_POLL_SECONDS = (0.002, 0.05)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class NodeCache:
    """Entries by name, in a folder on a disk of this node. EnvironmentProblem when it is unusable.

    Safe for threads, processes and forks. Methods raise OSError where the disk fails.
    """

    def __init__(self, options: RemoteOptions) -> None:
        self.folder = options.cache
        self._limit = options.cache_bytes
        self._entries, self._partial = self.folder / "entries", self.folder / "partial"
        self._locks = self.folder / "locks"
        try:
            for folder in (self.folder, self._entries, self._partial, self._locks):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.lock(TOTAL, 10.0):
                self._remove_abandoned()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EnvironmentProblem(
                f"{self.folder}: cannot hold downloaded data ({reason}): set HRM_SCALE_CACHE to a"
                " folder on a local disk of this node"
            ) from error

    def get(self, name: str, size: int | None = None) -> np.ndarray | None:
        """The bytes of an entry, mapped; None when it is not there or has another size."""
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if status.st_size == 0 or status.st_size != (size or status.st_size):
                return None
            if time.time() - status.st_mtime > TOUCH_SECONDS:
                os.utime(descriptor)
            return _map(descriptor, status.st_size)
        finally:
            os.close(descriptor)

    def has(self, name: str, size: int) -> bool:
        """Is an entry there? If so, it counts as used now."""
        path = self._path(name)
        try:
            status = os.stat(path, follow_symlinks=False)
            if status.st_size != size:
                return False
            if time.time() - status.st_mtime > TOUCH_SECONDS:
                os.utime(path)
        except OSError:
            return False
        return True

    def put(self, name: str, data: bytes | memoryview) -> np.ndarray:
        """Add an entry and return it mapped, which it stays whatever is thrown out meanwhile.

        OSError when the disk cannot take it, even after others were thrown out.
        """
        try:
            return self._put(name, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
        with self.lock(TOTAL):
            self._throw_out(self._total() // 2)
        return self._put(name, data)

    def remove(self, name: str) -> None:
        """Throw out an entry that proved to be damaged."""
        self._path(name).unlink(missing_ok=True)

    @contextmanager
    def lock(self, name: str, patience: float | None = None) -> Iterator[bool]:
        """Keep other processes and threads from the same name. Yields whether that succeeded.

        patience: seconds to wait for whoever has it; None waits for ever. Polled, so that a
        waiting thread never blocks in the kernel on a process that itself waits for a server.
        """
        file = f"{zlib.crc32(name.encode()) % LOCKS:04x}"
        if name == TOTAL:  # taken by who has others already: must not be one of those
            file = name
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._locks / file, flags, 0o600)
        try:
            locked = _try_lock(descriptor)
            begun, pause = time.monotonic(), _POLL_SECONDS[0]
            while not locked and (patience is None or time.monotonic() - begun < patience):
                time.sleep(pause)
                pause = min(pause * 1.5, _POLL_SECONDS[1])
                locked = _try_lock(descriptor)
            try:
                yield locked
            finally:
                # Closing alone would not do where a fork has a copy of the descriptor.
                if locked:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self._entries / name[:2] / name

    def _put(self, name: str, data: bytes | memoryview) -> np.ndarray:
        target = self._path(name)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = self._partial / f"{os.getpid()}-{uuid.uuid4().hex}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # says that somebody is at work on it
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            mapped = _map(descriptor, len(data))
        finally:
            os.close(descriptor)
        with self.lock(TOTAL):
            total = self._total() + len(data)
            self._write_total(total)
            if total > self._limit:
                self._throw_out(int(self._limit * KEPT_SHARE))
        return mapped

    # The total is kept in a file, under a lock; a crash may leave it wrong until the next time that
    # something is thrown out, which counts anew.

    def _total(self) -> int:
        try:
            return int((self.folder / TOTAL).read_text())
        except (OSError, ValueError):
            return sum(size for _, size, _ in self._listing())

    def _write_total(self, total: int) -> None:
        (self.folder / TOTAL).write_text(str(total))

    def _listing(self) -> Iterator[tuple[float, int, str]]:
        """Last use, size and path of every entry."""
        with os.scandir(self._entries) as folders:
            for folder in folders:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_mtime, status.st_size, entry.path

    def _throw_out(self, target: int) -> None:
        listing = sorted(self._listing())
        total = sum(size for _, size, _ in listing)
        for _, size, path in listing:
            if total <= target:
                break
            os.unlink(path)
            total -= size
        self._write_total(total)

    def _remove_abandoned(self) -> None:
        """Files of processes that died while they wrote."""
        for file in self._partial.iterdir():
            try:
                if time.time() - file.stat().st_mtime < ABANDONED_SECONDS:
                    continue
                descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if _try_lock(descriptor):
                    file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _map(descriptor: int, size: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ), np.uint8)
