"""The retry policy of every request, of streaming and of `shards.fetch`: waits, patience, log.

No `tenacity`: patience that starts anew with every byte, pauses that all threads share, notices and
waits that `close` ends would all be callbacks of ours, around one line of its own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.data.remote.errors import TransientError

_LOG = logging.getLogger("hrm_scale.data")
Result = TypeVar("Result")

OPENING_SECONDS = 60.0
"""Patience for a first file: nothing else distinguishes a wrong host from a sleeping one."""
RESUME_ADVICE = (
    ": check the network and the server, then type the same command again (a training run resumes"
    " from its last checkpoint)"
)
TRANSIENT_STATUSES = frozenset([408, 425, 429, *range(500, 600)])
"""HTTP statuses that a later request may not get."""
FIRST_DELAY = 0.1
LONGEST_DELAY = 20.0
LONGEST_ASKED = 300.0
"""Seconds a server may ask us to stay away (`Retry-After`); more is taken as this."""
QUIET_SECONDS = 5.0
NOTICE_SECONDS = 60.0


class Retrier:
    """Repeats failing requests to one server; all threads together keep away when it asks so.

    seconds: a request that failed for so long, without any new byte, is given up. advice: how the
    message ends then.
    """

    def __init__(self, seconds: float, advice: str = RESUME_ADVICE) -> None:
        self._seconds, self._advice = seconds, advice
        self._away_until = 0.0
        self._notice_at = 0.0
        self.retries = 0
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: locks may have been held by threads that are not here."""
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def run(
        self,
        what: str,
        attempt: Callable[[], Result],
        *,
        progress: Callable[[], int] = lambda: 0,
        seconds: float | None = None,
    ) -> Result:
        """The result of `attempt`, called again after every TransientError, ever less often.

        what: whose name messages begin with. progress: bytes received so far; more of them start
        the clock anew. EnvironmentProblem, one line, after `seconds` of failures in a row.
        """
        patience = self._seconds if seconds is None else min(seconds, self._seconds)
        begun, failures, received, warned = time.monotonic(), 0, progress(), False
        while True:
            self._stay_away()
            try:
                result = attempt()
            except TransientError as error:
                now = time.monotonic()
                if progress() > received:
                    begun, failures, received = now, 0, progress()
                failures += 1
                failing = now - begun
                if failing >= patience:
                    raise EnvironmentProblem(
                        f"{what}: {error}; {failures} tries in {failing:.0f} s{self._advice}"
                    ) from error
                with self._lock:
                    self.retries += 1
                warned |= self._notice(what, error, failing, patience - failing)
                self._wait(self._delay(failures, error.retry_after), patience - failing)
                continue
            if warned:
                _LOG.warning("%s: goes on after %.0f s", what, time.monotonic() - begun)
            return result

    def close(self) -> None:
        """Let go of whoever waits: with EnvironmentProblem."""
        self._closed.set()

    def _delay(self, failures: int, asked: float | None) -> float:
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 16))
        delay *= random.uniform(0.5, 1.0)  # processes that failed together do not return together
        if asked is not None:
            asked = min(asked, LONGEST_ASKED)
            with self._lock:
                self._away_until = max(self._away_until, time.monotonic() + asked)
            delay = max(delay, asked * random.uniform(1.0, 1.1))
        return delay

    def _wait(self, delay: float, remaining: float) -> None:
        # The last try comes at the end of the patience, not after it.
        if self._closed.wait(max(0.0, min(delay, remaining))):
            raise EnvironmentProblem("reading was stopped")

    def _stay_away(self) -> None:
        with self._lock:
            left = self._away_until - time.monotonic()
        if left > 0 or self._closed.is_set():
            self._wait(left, LONGEST_ASKED)

    def _notice(self, what: str, error: Exception, failing: float, left: float) -> bool:
        """Say once in a while, for all requests together, that and why reading waits."""
        now = time.monotonic()
        with self._lock:
            if failing < QUIET_SECONDS or now < self._notice_at:
                return False
            self._notice_at = now + NOTICE_SECONDS
        _LOG.warning("%s: %s; trying again for up to %.0f s more", what, error, left)
        return True
