"""A training run that is watched from outside and killed: what it does is read from its folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PHASES = ("starting", "compiling", "training", "evaluation", "saving", "ended")
# In the environment of all that a victim has started, and of nothing else.
MARK = "HRM_SCALE_TORTURE"
_TEMPORARY = re.compile(r"\.step-(\d+)\.tmp-\w+")
_ASIDE = re.compile(r"\.step-\d+\.(?:old|trash)-\w+")
_RESUMED = re.compile(r"resumed at step (\d+)")
_LOOK_EVERY = 0.001


@dataclass(frozen=True)
class Place:
    """Where a process was killed."""

    phase: str
    detail: str
    step: int | None

    def __str__(self) -> str:
        step = "" if self.step is None else f"step {self.step}"
        return ", ".join(part for part in (self.phase, step, self.detail) if part)


class Victim:
    """A started process, or a launcher with its workers, that trains in `run`.

    world: the number of workers when `command` is a launcher, 0 when it trains itself.
    """

    def __init__(
        self,
        command: list[str],
        run: Path,
        log: Path,
        *,
        world: int,
        cwd: Path,
        env: dict[str, str],
    ) -> None:
        self.run, self.log, self.world = run, log, world
        self.mark = secrets.token_hex(8)
        # Temporary folders of saves: when each was seen first, how long those gone were there, and
        # the newest step of those that were seen to get their name.
        self.opened: dict[str, float] = {}
        self.closed: dict[str, float] = {}
        self.committed = 0
        # The longest stay in each phase, and how many evaluations were begun.
        self.phase_seconds: dict[str, float] = {}
        self.evaluations = 0
        self.ended_by_itself = False  # just before it would have been killed
        self.workers: dict[int, int] = {}
        self._before = set(self._names())
        self._heartbeat: dict[str, Any] = {}
        self._heartbeat_read = 0
        self._phase, self._phase_since = "starting", time.monotonic()
        self._workers_asked = 0.0
        self.born, self.started = time.time(), time.monotonic()
        with open(log, "wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
                env={**env, MARK: self.mark},
            )

    # --- watching ---------------------------------------------------------------------------------

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    @property
    def step(self) -> int | None:
        """A step that it has reached itself; None before it tells."""
        steps = [int(match[1]) for name in self.opened if (match := _TEMPORARY.fullmatch(name))]
        if "step" in self._heartbeat:
            steps.append(self._heartbeat["step"])
        return max(steps, default=None)

    @property
    def phase(self) -> str:
        return self._phase

    @property
    def resumed(self) -> int | None:
        """The step it said it goes on from; None when it has not got that far."""
        match = _RESUMED.search(self.log.read_text(errors="replace"))
        return int(match[1]) if match else None

    def look(self) -> bool:
        """Take notice of what has changed; False when the process has ended."""
        ended = self.process.poll() is not None
        now = time.monotonic()
        names = set(self._names())
        for name in names - self._before - self.opened.keys():
            if _TEMPORARY.fullmatch(name):
                self.opened[name] = now
        for name in self.opened.keys() - names - self.closed.keys():
            self.closed[name] = now - self.opened[name]
            if (final := name[1:].split(".")[0]) in names:
                self.committed = max(self.committed, int(final.removeprefix("step-")))
        self._read_heartbeat()
        phase = self._heartbeat.get("phase", "starting")
        if phase != self._phase:
            seconds = now - self._phase_since
            self.phase_seconds[self._phase] = max(self.phase_seconds.get(self._phase, 0.0), seconds)
            self.evaluations += phase == "evaluation"
            self._phase, self._phase_since = phase, now
        if len(self.workers) < self.world and now - self._workers_asked > 0.2:
            self._workers_asked = now
            self.workers = workers_of(self.process.pid)
        if not ended:
            time.sleep(_LOOK_EVERY)
        return not ended

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.run / "checkpoints")
        except FileNotFoundError:
            return []

    def _read_heartbeat(self) -> None:
        path = self.run / "heartbeat.json"
        try:
            changed = path.stat().st_mtime_ns
            if changed == self._heartbeat_read:
                return
            heartbeat = json.loads(path.read_text())
        except FileNotFoundError:
            return
        self._heartbeat_read = changed
        if heartbeat["time"] >= self.born:  # else it is that of a process that was killed before
            self._heartbeat = heartbeat

    # --- killing ----------------------------------------------------------------------------------

    def kill(self, rank: int | None) -> tuple[str, Place]:
        """Kill -9 the worker `rank`, or all there is when it is None or that worker does not exist
        yet; returns who was killed, and where. Nothing of it trains any more afterwards."""
        if rank is not None and (pid := self.workers.get(rank)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            # At once: the other workers clean up before they leave.
            place = self._place()
            self.process.wait(timeout=120)
            self.ended_by_itself = self.process.returncode == 0
            return f"rank {rank}", place
        self.process.kill()
        self.ended_by_itself = self.process.wait() != -signal.SIGKILL
        if not self.world:
            return "process", self._place()
        self.sweep()
        return "all", self._place()

    def alive(self) -> list[psutil.Process]:
        """All that it has started, and what that has started, as far as it is there yet."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def sweep(self) -> None:
        """Kill whatever it has started and is still there."""
        while left := self.alive():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=10)

    def _place(self) -> Place:
        """Where it is, or was when it died."""
        self.look()
        names = set(self._names()) - self._before
        for name in sorted(names):
            if match := _TEMPORARY.fullmatch(name):
                try:
                    files = os.listdir(self.run / "checkpoints" / name)
                except FileNotFoundError:  # the rank that is left has moved or deleted it
                    return Place("saving", "", int(match[1]))
                manifest = "with" if "manifest.json" in files else "no"
                detail = f"{len(files)} files, {manifest} manifest"
                return Place("saving", detail, int(match[1]))
        if any(_ASIDE.fullmatch(name) for name in names):
            return Place("saving", "deleting an older one", self.step)
        return Place(self.phase, "", self.step)

    def tail(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-3000:]


def workers_of(launcher: int) -> dict[int, int]:
    """Process ids of a launcher's workers by rank."""
    found = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(launcher).children():
            with contextlib.suppress(psutil.Error):
                if rank := child.environ().get("RANK"):
                    found[int(rank)] = child.pid
    return found
