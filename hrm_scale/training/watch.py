"""Watching over a run: a heartbeat for those who look from outside, and the stacks of a stall.

A run that waits for ever says nothing by itself. So every process has a thread that notices when
no step, evaluation batch or save has ended for long, and prints what the process is doing; where
one process waits for another, the stacks of all of them together show who keeps whom waiting.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hrm_scale.base.machine import boot_clock

HEARTBEAT_FILE = "heartbeat.json"
STACKS_FOLDER = "stacks"
_EVERY = 5.0  # seconds between two heartbeats


class Watch:
    """Use it as a context manager around training; call `progress` whenever something is done.

    step, total_steps: steps done, and of the whole run if known.
    run_dir: gets `heartbeat.json` (rank 0) and, at a stall, `stacks/rank-XXXXX.txt`.
    stall_seconds: time without progress after which the stacks are printed, once a stall; None
        never prints.
    eta: seconds that are left, if known.
    now: seconds from any monotonic source: nobody sets it, unlike the time of day.
    """

    def __init__(
        self,
        run_dir: Path,
        rank: int,
        step: int,
        total_steps: int | None,
        stall_seconds: float | None,
        eta: Callable[[], float | None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_dir, self._rank = run_dir, rank
        self._total, self._stall, self.eta = total_steps, stall_seconds, eta
        self._now = now
        self._started = time.time()
        self._progressed = now()
        self._step = step
        self._phase = "starting"
        self._told = False
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._beat()

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join()
        self._enter("ended")

    def progress(self, step: int) -> None:
        """`step` steps are done, and something more was done just now."""
        self._step, self._progressed = step, self._now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What the run is doing inside: "compiling", "training", "evaluation", "saving".
        Before and after that it is "starting" and "ended"."""
        before = self._phase
        self._enter(name)
        try:
            yield
        finally:
            self._enter(before)

    def _enter(self, phase: str) -> None:
        self._phase, self._progressed = phase, self._now()
        self._beat()

    def _watch(self) -> None:
        pause = _EVERY if self._stall is None else min(_EVERY, self._stall / 4)
        with self._last_resort() as arm:
            while not self._ended.wait(pause):
                arm()
                self._beat()
                waited = self._now() - self._progressed
                if self._stall is None or waited < self._stall:
                    self._told = False
                elif not self._told:
                    self._told = True
                    self._print_stacks(waited)

    def _beat(self) -> None:
        if self._rank:
            return
        now = time.time()
        beat = {
            "time": now,
            "progress_time": now - (self._now() - self._progressed),
            **boot_clock(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": self._started,
            "step": self._step,
            "total_steps": self._total,
            "phase": self._phase,
            "eta_seconds": self.eta(),
        }
        file = self._run_dir / HEARTBEAT_FILE
        fresh = file.with_name(f".{HEARTBEAT_FILE}.tmp")
        # Not worth an fsync, nor the run: on a full disk there is none.
        with self._writing, contextlib.suppress(OSError):
            fresh.write_text(json.dumps(beat) + "\n", encoding="utf-8")
            os.replace(fresh, file)

    @property
    def _stacks_file(self) -> Path:
        return self._run_dir / STACKS_FOLDER / f"rank-{self._rank:05d}.txt"

    def _print_stacks(self, waited: float) -> None:
        text = (
            f"warning: rank {self._rank} has made no progress for {waited:.0f} s at step"
            f" {self._step} ({self._phase}); its threads, the newest call first:\n"
        )
        try:
            self._stacks_file.parent.mkdir(exist_ok=True)
            with open(self._stacks_file, "w+", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                faulthandler.dump_traceback(stream, all_threads=True)
                stream.seek(0)
                text = stream.read()
        except OSError as error:
            text += f"(no stacks: {error.strerror})\n"
        # In one piece: other ranks print at the same time.
        print(text, end="", file=sys.stderr, flush=True)

    @contextmanager
    def _last_resort(self) -> Iterator[Callable[[], None]]:
        """Arm a timer that needs no interpreter: code that never lets go of it stops this thread
        too. Armed anew at each beat, it fires only then."""
        if self._stall is None:
            yield lambda: None
            return
        limit = 3 * self._stall
        with open(os.dup(2), "w", encoding="utf-8") as stderr:
            try:
                yield lambda: faulthandler.dump_traceback_later(limit, file=stderr)
            finally:
                faulthandler.cancel_dump_traceback_later()
