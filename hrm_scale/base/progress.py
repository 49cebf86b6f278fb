"""What a builder is doing, in short plain lines on stderr."""

from __future__ import annotations

import sys
import threading
import time

from hrm_scale.base.programs import as_typed
from hrm_scale.base.untrusted import printable


def say(line: str) -> None:
    print(printable(as_typed(line)), file=sys.stderr, flush=True)


class Progress:
    """Says how far something is, every few seconds; quick work stays silent. Thread-safe."""

    EVERY_SECONDS = 5.0

    def __init__(self, verb: str, total: int | None) -> None:
        self._verb, self._total = verb, total
        self._done = 0
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._reach(self._done + count)

    def reach(self, done: int) -> None:
        with self._lock:
            self._reach(done)

    def _reach(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._last >= self.EVERY_SECONDS:
            self._last = now
            say(f"  {self._verb} {done}" + (f" of {self._total}" if self._total else ""))
