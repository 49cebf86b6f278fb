"""Requests to stop, from outside and from the clock, turned into a reason the loop asks for.

A run stops between two steps, saves, and can be continued. It is asked by SIGTERM or SIGUSR1 (batch
systems), SIGINT (Ctrl-C), a file named STOP in the run folder (no access to the process needed), or
its time limit. A second Ctrl-C does not wait: it raises KeyboardInterrupt where the program is.
Neither does a first request while a single process compiles: there is nothing to lose yet.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

STOP_FILE = "STOP"
TIME_IS_UP = "time limit max_time reached"
_SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")
# Order matters: ranks agree on the largest number, and every rank must find the same text for it.
_REASONS = (
    "",
    f"file {STOP_FILE} in the run folder",
    TIME_IS_UP,
    *(f"signal {name}" for name in _SIGNALS),
)
_STOP_FILE_EVERY = 1.0  # seconds; a look at a network file system is not free


def _alone(code: int) -> int:
    return code


class StopRequest:
    """Installs the signal handlers while used as a context manager, and restores the old ones.

    run_dir: where to look for the STOP file (rank 0 only; the others pass None).
    max_seconds, elapsed: the limit on the wall time of the whole run, all processes together,
        and what tells it (`Clock.total_seconds`, which a checkpoint carries over a restart).
    now: seconds from any monotonic source, used to pace the looks for the STOP file.
    """

    def __init__(
        self,
        run_dir: Path | None = None,
        *,
        max_seconds: float | None = None,
        elapsed: Callable[[], float] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if (max_seconds is None) != (elapsed is None):
            raise ValueError("max_seconds and elapsed go together")
        self._stop_file = None if run_dir is None else run_dir / STOP_FILE
        self._max_seconds = max_seconds
        self._elapsed = elapsed
        self._now = now
        self._looked = -float("inf")
        self._code = 0
        self._interrupts = 0
        self.at_once = False
        """Set while there is nothing to lose: a request is then KeyboardInterrupt, at once."""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        # Python allows signal handlers in the main thread only; elsewhere the rest still works.
        if threading.current_thread() is threading.main_thread():
            for name in _SIGNALS:
                number = getattr(signal, name, None)  # SIGUSR1 does not exist everywhere
                if number is not None:
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    @property
    def interrupted(self) -> bool:
        """Whether there was a Ctrl-C. Those that come while the program waits outside of Python are
        heard as one."""
        return self._interrupts > 0

    @property
    def abandoned(self) -> bool:
        """Whether a second Ctrl-C has asked to leave without saving."""
        return self._interrupts > 1

    @property
    def requested(self) -> bool:
        """Whether this rank has been asked, without talking to others: for long inner loops."""
        return self._look() != 0

    def poll(self, agree: Callable[[int], int] = _alone) -> str | None:
        """The reason to stop now, the same on every rank, or None to go on.

        agree: the largest of all ranks' numbers (an all-reduce MAX). Every rank must poll at
            the same steps. The STOP file is removed then, so the same command started
            again goes on instead of stopping at once.
        """
        agreed = agree(self._look())
        # A signal may have come in while the ranks were talking: it counts at the next poll.
        self._code = max(self._code, agreed)
        if agreed == 0:
            return None
        if self._stop_file is not None:
            with contextlib.suppress(OSError):
                self._stop_file.unlink()
        return _REASONS[agreed]

    def _look(self) -> int:
        if self._code:
            return self._code
        if (
            self._max_seconds is not None
            and self._elapsed is not None
            and self._elapsed() >= self._max_seconds
        ):
            self._code = _REASONS.index(TIME_IS_UP)
        elif self._stop_file is not None and self._now() - self._looked >= _STOP_FILE_EVERY:
            self._looked = self._now()
            if self._stop_file.exists():
                self._code = 1
        return self._code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self.abandoned:
                raise KeyboardInterrupt
            # A handler may interrupt a print: only a bare write is safe here.
            with contextlib.suppress(OSError):
                os.write(
                    2, b"\nstopping after this step, then saving (Ctrl-C again: stop at once)\n"
                )
        self._code = _REASONS.index(f"signal {signal.Signals(number).name}")
        if self.at_once:
            raise KeyboardInterrupt
