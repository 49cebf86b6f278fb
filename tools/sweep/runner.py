"""Runs the cells of a sweep, some at a time, and hands requests to stop to all of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from hrm_scale.base.errors import EXIT_INTERNAL, EXIT_OK, EXIT_STOPPED
from hrm_scale.base.machine import usable_cores
from hrm_scale.base.redaction import redact
from hrm_scale.base.untrusted import printable
from hrm_scale.base.worker_exit import stop_with_parent

from ..run.alive import look, read_heartbeat
from ..run.history import read_events
from .cells import EVALUATION, FINISHED, NEW, STARTED, TO_EVALUATE, command_of, state_of
from .grid import Cell

OUTPUT = "output.txt"
_LOOK_SECONDS = 0.1
_SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")


_BEGINS = {
    NEW: "starts",
    STARTED: "goes on",
    TO_EVALUATE: "is evaluated, its time is up",
    FINISHED: "is looked at again",
}


@dataclass(frozen=True)
class Failure:
    """A cell that ended otherwise than well: its exit status, negative for a signal, and the last
    line it wrote."""

    cell: Cell
    code: int
    line: str

    @property
    def exit_code(self) -> int:
        """What a program may end with: a signal is an error like any other."""
        return self.code if self.code > 0 else EXIT_INTERNAL

    @property
    def reason(self) -> str:
        if self.code >= 0:
            return f"exit status {self.code}: {self.line}"
        name = signal.Signals(-self.code).name
        killed = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"killed by {name}{killed}: {self.line}"


@dataclass
class _Process:
    cell: Cell
    slot: int
    popen: subprocess.Popen[bytes]
    output: IO[bytes]
    began: float
    told: bool = False


@dataclass
class Runner:
    """say: takes a line for the user. Use `run` once."""

    folder: Path
    parallel: int
    say: Callable[[str], None]
    failures: list[Failure] = field(default_factory=list)
    stopped: bool = False
    """Whether the sweep was asked to stop. Cells then have saved what they had."""
    _running: list[_Process] = field(default_factory=list)
    _interrupts: int = 0
    _waiting: bool = False
    _done: int = 0
    _total: int = 0

    def run(self, cells: Sequence[Cell], total: int) -> None:
        """Take all `cells` to their end, `parallel` at once; `total` of them are in the sweep.

        A cell that another process works on is left until that one has ended. Raises
        KeyboardInterrupt at a second Ctrl-C, the cells killed.
        """
        left, self._done, self._total = list(cells), total - len(cells), total
        devices = visible_devices() if self.parallel > 1 else []
        with self._listening():
            try:
                while (left and not self.stopped) or self._running:
                    self._collect(left)
                    if self.stopped:
                        self._ask_to_stop()
                    else:
                        self._start(left, devices)
                    time.sleep(_LOOK_SECONDS)
            finally:
                for process in self._running:
                    process.popen.kill()
                    process.popen.wait()

    def _start(self, left: list[Cell], devices: list[str]) -> None:
        while len(self._running) < self.parallel and left:
            free = next((cell for cell in left if not _is_held(self.folder / cell.name)), None)
            if free is None:
                if not self._running and not self._waiting:
                    self._waiting = True
                    self.say(f"waiting: another process works on {left[0].name}")
                return
            left.remove(free)
            used = {process.slot for process in self._running}
            slot = next(slot for slot in range(self.parallel) if slot not in used)
            self._running.append(self._open(free, slot, devices))

    def _ask_to_stop(self) -> None:
        for process in self._running:
            if not process.told:
                process.told = True
                process.popen.send_signal(signal.SIGTERM)

    def _open(self, cell: Cell, slot: int, devices: list[str]) -> _Process:
        run_dir = self.folder / cell.name
        run_dir.mkdir(parents=True, exist_ok=True)
        state = state_of(run_dir)
        words = ["hrm_scale.train", *command_of(cell, self.folder)]
        if state == TO_EVALUATE:
            words = [
                "hrm_scale.evaluate",
                f"checkpoint={run_dir}",
                f"output_dir={run_dir / EVALUATION}",
            ]
        self.say(f"{cell.name}: {_BEGINS[state]}")
        output = (run_dir / OUTPUT).open("wb")
        # A session of its own: Ctrl-C reaches the sweep alone, which asks its runs to save.
        popen = subprocess.Popen(
            [sys.executable, "-u", "-m", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(self.parallel, devices, slot),
            start_new_session=True,
            preexec_fn=stop_with_parent,
        )
        return _Process(cell, slot, popen, output, time.monotonic())

    def _collect(self, left: list[Cell]) -> None:
        """See which processes have ended. One whose cell needs another process, to be evaluated,
        goes back to the front of `left`."""
        for process in [one for one in self._running if one.popen.poll() is not None]:
            self._running.remove(process)
            process.output.close()
            cell, code = process.cell, process.popen.returncode
            state = state_of(self.folder / cell.name)
            if state == TO_EVALUATE and code == EXIT_STOPPED:
                left.insert(0, cell)
            elif state == FINISHED and code == EXIT_OK:
                self._done += 1
                seconds = time.monotonic() - process.began
                self.say(f"{cell.name}: done in {seconds:.0f} s ({self._done} of {self._total})")
            elif not (self.stopped and code in (EXIT_STOPPED, -signal.SIGTERM)):
                line = last_line(self.folder / cell.name / OUTPUT)
                self.failures.append(Failure(cell, code, line))
                self.say(f"{cell.name}: {self.failures[-1].reason}")

    @contextmanager
    def _listening(self) -> Iterator[None]:
        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
        if not self.stopped:
            self.stopped = True
            # A handler may interrupt a print: only a bare write is safe here.
            with suppress(OSError):
                os.write(2, b"\nstopping: the runs save after this step (Ctrl-C again: at once)\n")


def environment(parallel: int, devices: Sequence[str], slot: int) -> dict[str, str]:
    """Of a run: its share of the cores, unless the user has set it, and of several GPUs one."""
    env = dict(os.environ)
    env.pop("HRM_SCALE_COMMAND", None)
    if parallel > 1:
        env.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // parallel)))
    if len(devices) > 1:
        env["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return env


def visible_devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def last_line(path: Path) -> str:
    """The error that a program's output ends with, or its last line."""
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    line = (errors or lines or ["it wrote nothing"])[-1].removeprefix("error: ")
    return printable(redact(line))


def _is_held(run_dir: Path) -> bool:
    return look(run_dir, read_heartbeat(run_dir), read_events(run_dir), time.time()).alive
