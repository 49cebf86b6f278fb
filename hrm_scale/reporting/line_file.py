"""A file of JSON lines that grows while a run lasts, whatever the disk does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any


class LineFile:
    """Appends whole lines, each in the file system's hands at once.

    On a full disk, also one too full to make the file, the lines wait in memory and are written
    when there is room again. A line that an earlier process left half written is closed off, so
    that it spoils no other one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._closed = False
        self._pending: list[bytes] = []

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line. Raises OSError when it has to wait; it is kept for the next call."""
        self._pending.append((json.dumps(record) + "\n").encode())
        self.write_pending()

    def write_pending(self) -> None:
        """Write what is waiting, if anything. Raises OSError when it has to wait longer."""
        if not self._pending or self._closed:
            return
        descriptor = self._open()
        before = os.fstat(descriptor).st_size
        try:
            view = memoryview(b"".join(self._pending))
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            # Half a line must not stay: the lines are written whole next time.
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
        self._pending.clear()

    def sync(self) -> None:
        """Make everything so far survive a power failure."""
        self.write_pending()
        os.fsync(self._open())

    def cut(self, keep: Callable[[bytes], bool]) -> None:
        """Drop every line from the first one on that is not to `keep`.

        Needs no room on the disk, and the file stays the same one for whoever follows it.
        """
        self._pending = list(takewhile(keep, self._pending))
        descriptor = self._open()
        with open(self.path, "rb") as stream:
            size = sum(map(len, takewhile(keep, stream)))
        os.ftruncate(descriptor, size)

    def close(self) -> None:
        """Write what is waiting and let go of the file."""
        try:
            self.write_pending()
        finally:
            # The number may soon belong to another file: nothing may be written under it.
            self._closed = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            self._descriptor = os.open(self.path, flags, 0o644)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                self._pending.insert(0, b"\n")
        return self._descriptor
