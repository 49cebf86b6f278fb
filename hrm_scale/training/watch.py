"""Signs of life of a run: its lock, a heartbeat for those who look from outside, stacks of a stall.

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
from typing import IO

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.machine import boot_clock
from hrm_scale.base.output import make_folder, require_plain_files

HEARTBEAT_FILE = "heartbeat.json"
STACKS_FOLDER = "stacks"
_EVERY = 5.0  # seconds between two heartbeats
# What a run opens in its folder. Opening a pipe blocks until somebody reads or writes it.
_FILES = (".lock", "config.yaml", "metrics.jsonl", "events.jsonl", "log.txt")


class Watch:
    """`begin` it, use it as a context manager around training, and call `progress` whenever
    something is done.

    total_steps: of the whole run, if known.
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
        self._step = 0
        self._phase = "starting"
        self._told = False
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, step: int) -> None:
        """The first heartbeat: the run starts at `step`."""
        self.progress(step)
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


class Occupied(ConfigError):
    """Another process works in the folder."""


def lock_run(run_dir: Path, name: str = "checkpoint_path") -> IO[str]:
    """Make the run folder and take it; it is free again when the returned file is closed, also by
    the death of the process. name: what the user typed the folder after.

    The file holds the moment at which it was taken, a `boot_clock`. Raises Occupied when another
    process trains in the folder, ConfigError or EnvironmentProblem when it cannot be a run folder.
    """
    make_folder(run_dir, name)
    require_plain_files(run_dir, _FILES)
    # Not truncated: it may be another process's.
    handle = (run_dir / ".lock").open("a", encoding="utf-8")
    # Systems without flock, and file systems that do not offer it, go without the protection.
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            # Somebody who only looks whether the run is alive holds it for a moment.
            for patience in (0.1, 0.1, 0.0):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not patience:
                        raise
                    time.sleep(patience)
        except BlockingIOError:
            handle.close()
            raise Occupied(
                f"another process is training in {run_dir}: wait for it, stop it, or choose"
                " another run_name"
            ) from None
        except OSError:
            pass
    with contextlib.suppress(OSError):  # on a full disk only its time says when
        os.utime(handle.fileno())
        os.ftruncate(handle.fileno(), 0)
        os.write(handle.fileno(), json.dumps(boot_clock()).encode())
    return handle
