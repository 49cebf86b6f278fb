"""torch's elastic agent, taught what the exit codes and signals of a training run mean.

The agent stays what it is: rendezvous, start of the workers, restarts. Three habits are added. A
signal to stop is passed on and the workers leave by themselves, when their checkpoint is complete,
instead of within 30 s. A worker that ended with a documented exit code is not started again: it
would end the same way. And what is left of the run is one exit code, not a traceback.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed.elastic.agent.server.api import (
    RunResult,
    WorkerGroup,
    WorkerSpec,
    WorkerState,
)
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

from hrm_scale.base.errors import (
    EXIT_CHECKPOINT,
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_ENVIRONMENT,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_NON_FINITE,
    EXIT_OK,
    EXIT_PEER_LOST,
    EXIT_STOPPED,
    EnvironmentProblem,
    Stopped,
)
from hrm_scale.base.untrusted import printable
from hrm_scale.base.worker_exit import RESTARTED, STOPPED_FILE

# Ends that a new start would only repeat.
_FINAL = (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_CHECKPOINT,
    EXIT_ENVIRONMENT,
    EXIT_NON_FINITE,
    EXIT_STOPPED,
    EXIT_INTERRUPTED,
)
_STOPPING = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
_LINGER_SECONDS = 3.0


@dataclass(frozen=True)
class Job:
    """What one node's launcher starts: `processes` workers of `command`, on each of `nodes` nodes.

    endpoint: host and port of the rendezvous, hosted by the launcher with `node_rank` 0; a node by
        itself takes any free port.
    address: this node's address as the others see it.
    """

    command: tuple[str, ...]
    processes: int
    nodes: int
    node_rank: int
    endpoint: tuple[str, int]
    address: str
    run_id: str
    max_restarts: int
    stop_seconds: float
    rendezvous_seconds: int

    @property
    def again(self) -> str:
        """What the user types to resume: a `resume` of this command was done by its first start."""
        asked = any(word.lstrip("+").startswith("resume=") for word in self.command)
        return "the same command with resume=auto" if asked else "the same command"


def launch(job: Job) -> int:
    """Run the job to its end; the exit code of the run as a whole.

    Raises Stopped when asked to stop before any worker could save something, EnvironmentProblem
    when the nodes do not find each other.
    """
    if not os.environ.get("HRM_SCALE_DEBUG"):
        # The agent's own words about a failure would bury the worker's line that explains it.
        logging.disable(logging.ERROR)
    # In a store shared with the agent restarted workers would find the addresses of the dead ones.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    # The other signals are handled here, see `Agent`.
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"
    with tempfile.TemporaryDirectory(prefix="hrm_scale-") as folder:
        note = Path(folder, "stopped")
        os.environ[STOPPED_FILE] = str(note)
        agent = None
        try:
            agent = Agent(job)
            result = agent.run()
        except SignalException as stop:
            raise Stopped(_stopped_early(stop.sigval, job)) from None
        except RendezvousError as error:
            codes = agent.exit_codes() if agent is not None else []
            if note.exists() or any(code in _FINAL for code in codes):
                return EXIT_STOPPED if note.exists() else _worst(codes)
            raise EnvironmentProblem(_no_rendezvous(job, error)) from error
        if result is not None and result.failures:
            if job.nodes > 1 and job.node_rank == 0:
                # The others' workers share this failure, and end with the exit code that explains
                # it, but perhaps a moment later. Until then their launchers need the rendezvous.
                time.sleep(_LINGER_SECONDS)
            return agent.explain(result)
        if note.exists():
            return EXIT_STOPPED
        if result is not None and result.state is WorkerState.SUCCEEDED:
            return EXIT_OK
        raise EnvironmentProblem(
            "the processes of this node ended without a word: the output of the other nodes may say"
            f" why; {job.again} resumes from the newest checkpoint"
        )


class Agent(LocalElasticAgent):
    """The workers of this node."""

    def __init__(self, job: Job) -> None:
        host, port = job.endpoint
        parameters = RendezvousParameters(
            backend="c10d",
            endpoint=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            run_id=job.run_id or str(uuid.uuid4()),
            min_nodes=job.nodes,
            max_nodes=job.nodes,
            local_addr=job.address,
            is_host=job.node_rank == 0,
            join_timeout=job.rendezvous_seconds,
            read_timeout=job.rendezvous_seconds,
        )
        spec = WorkerSpec(
            role="train",
            local_world_size=job.processes,
            entrypoint=job.command[0],
            args=job.command[1:],
            rdzv_handler=get_rendezvous_handler(parameters),
            max_restarts=job.max_restarts,
            monitor_interval=0.1,
            local_addr=job.address,
        )
        super().__init__(spec, DefaultLogsSpecs())
        self._job = job
        self._asked: signal.Signals | None = None
        self._asked_at = 0.0
        self._lost_patience = False
        self._take_signals()

    def _take_signals(self) -> None:
        for name in _STOPPING:
            number = getattr(signal, name)
            # nohup leaves SIGHUP ignored: it must stay so.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._pass_on)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Tell the workers to stop, and go on watching them."""
        if self._asked is None:
            self._asked, self._asked_at = signal.Signals(number), time.monotonic()
        running = self._running()
        if not running:
            raise SignalException("asked to stop", self._asked)
        for pid in running:
            # A closed terminal is a reason to save, which the workers know by SIGTERM.
            _send(pid, signal.SIGTERM if number == signal.SIGHUP else number)

    def _running(self) -> list[int]:
        handlers = getattr(self._pcontext, "subprocess_handlers", {})
        return [h.proc.pid for h in handlers.values() if h.proc.poll() is None]

    def exit_codes(self) -> list[int]:
        """Exit statuses of the workers that have ended, negative for signals."""
        handlers = getattr(self._pcontext, "subprocess_handlers", {})
        return [h.proc.returncode for h in handlers.values() if h.proc.poll() is not None]

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        if self._asked is not None:
            raise SignalException("asked to stop", self._asked)
        workers = super()._start_workers(worker_group)
        self._take_signals()  # releases of torch before 2.9 have put in their own
        return workers

    def _restart_workers(self, worker_group: WorkerGroup) -> None:
        os.environ[RESTARTED] = "1"
        super()._restart_workers(worker_group)

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result = super()._monitor_workers(worker_group)
        if result.is_failed():
            codes = [failure.exitcode for failure in result.failures.values()]
            if self._asked is not None or any(code in _FINAL for code in codes):
                self._remaining_restarts = 0
            elif self._remaining_restarts > 0:
                number = worker_group.spec.max_restarts - self._remaining_restarts + 1
                _say(
                    f"{_what_happened(result)}; starting all again from the newest checkpoint"
                    f" (restart {number} of {worker_group.spec.max_restarts})"
                )
        elif self._asked is not None and time.monotonic() - self._asked_at > self._job.stop_seconds:
            self._lost_patience = True
            for pid in self._running():
                _send(pid, signal.SIGKILL)
        return result

    def explain(self, result: RunResult) -> int:
        """The exit code of a run whose workers failed; words only where the workers had none."""
        code = _worst(failure.exitcode for failure in result.failures.values())
        if code in _FINAL:
            return code
        if self._asked is not None and code == 128 + self._asked:
            raise Stopped(_stopped_early(self._asked, self._job))
        if self._lost_patience:
            raise EnvironmentProblem(
                f"not stopped and saved within {self._job.stop_seconds:g} s, so the processes were"
                f" killed; {self._job.again} resumes from the newest checkpoint (--stop-seconds"
                " gives more time)"
            )
        hint = " (out of memory, perhaps?)" if code == 128 + signal.SIGKILL else ""
        again = f"{self._job.again} resumes from the newest checkpoint"
        _say(f"{_what_happened(result)}{hint}; {again}")
        return code


def _worst(codes: Iterable[int]) -> int:
    """The exit code that says most about a failure: a documented one, else the signal that killed
    a worker, else 1. What only lost another worker, or the agent ended (SIGTERM), says least."""

    def weight(code: int) -> int:
        if code in _FINAL:
            return 0
        if code in (EXIT_PEER_LOST, -signal.SIGTERM):
            return 3 if code > 0 else 4
        return 1 if code < 0 else 2

    code = min((code for code in codes if code), key=weight, default=EXIT_INTERNAL)
    return 128 - code if code < 0 else code


def _what_happened(result: RunResult) -> str:
    worst = _worst(failure.exitcode for failure in result.failures.values())
    rank = next(r for r, f in result.failures.items() if _worst([f.exitcode]) == worst)
    if worst > 128:
        return f"rank {rank} was killed by {signal.Signals(worst - 128).name}"
    return f"rank {rank} failed with exit code {worst}"


def _stopped_early(number: int, job: Job) -> str:
    name, again = signal.Signals(number).name, "the same command"
    if RESTARTED in os.environ:
        again = job.again
    return f"signal {name}: stopped before there was anything to save; {again} resumes the run"


def _no_rendezvous(job: Job, error: RendezvousError) -> str:
    host, port = job.endpoint
    return (
        f"node {job.node_rank} of {job.nodes}: no rendezvous at {host}:{port}"
        f" ({type(error).__name__}): start the same command on every node, node rank 0 on {host},"
        f" and let port {port} through"
    )


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(pid, number)


def _say(text: str) -> None:
    print(printable(f"launch: {text}"), file=sys.stderr, flush=True)
