"""Several real processes that train together, without paying for their imports each time.

They are forked from a server that has imported everything and computed nothing: a fork of the
process that tests would inherit the locks of threads that it does not have. What they find in their
environment is what a launcher would have put there.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cloudpickle

# Not one of the signals that a run listens to; and a timer of faulthandler is the run's own.
_WHERE = signal.SIGUSR2
LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def clean_process(work: Callable[..., None], *args: Any) -> BaseProcess:
    """A process, not yet started, that calls `work(*args)` in this environment; both may hold
    functions defined anywhere."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.tiny.imported"])
    packed = cloudpickle.dumps((work, args, dict(os.environ)))
    return context.Process(target=_unpack, args=(packed,))


def _unpack(packed: bytes) -> None:
    import cloudpickle

    work, args, variables = cloudpickle.loads(packed)
    # What the server's imports have read from its own environment stays.
    os.environ.clear()
    os.environ.update(variables)
    work(*args)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def run_ranks(ranks: int, work: Callable[[], None], seconds: float = 180) -> None:
    """Run `work` in `ranks` processes that can find each other; 0 is one without a launcher.

    Raises AssertionError with their output when one of them fails or time is over.
    """
    address = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    address["MASTER_PORT"] = str(free_port())
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{rank}.log" for rank in range(max(ranks, 1))]
        processes = []
        for rank, log in enumerate(logs):
            place = {**address, "RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks else {}
            processes.append(clean_process(_child, work, place, log))
        for process in processes:
            process.start()
        end = time.monotonic() + seconds
        while any(p.is_alive() for p in processes) and time.monotonic() < end:
            if any(p.exitcode for p in processes):
                break  # what the others wait for will not come
            time.sleep(0.02)
        if time.monotonic() >= end:
            _ask_where(processes)
        for process in processes:
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join()
        if any(p.exitcode for p in processes):
            output = "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs)
            raise AssertionError(f"exit codes {[p.exitcode for p in processes]}\n{output}")


def _ask_where(processes: Sequence[BaseProcess]) -> None:
    """Let those that hang write their stacks into their logs."""
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, _WHERE)


def _child(work: Callable[[], None], place: dict[str, str], log: Path) -> None:
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.register(_WHERE, file=2)
    for name in LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    os.environ |= {**place, "OMP_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    # Without the interpreter's end: threads of loaders and of wandb need not be waited for.
    os._exit(0)
