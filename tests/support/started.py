"""`python -m hrm_scale.train` in processes that have their imports already: they start at once,
hear signals and end as the command does, and mark moments for those who wait for one."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.tiny.ranks import LAUNCHER_VARIABLES, clean_process, free_port

Hook = Callable[[Path], None]
"""Called in the new process with the path of a file that it makes when the moment has come."""


class Started:
    """A run of `ranks` processes, 0 for one without a launcher. `folder` takes their output."""

    def __init__(
        self, line: list[str], folder: Path, ranks: int = 0, hook: Hook | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.moment = folder / "moment"
        self.moment.unlink(missing_ok=True)
        self.logs = [folder / f"rank{rank}.log" for rank in range(max(ranks, 1))]
        address = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
        address["MASTER_PORT"] = str(free_port())
        self.processes = []
        for rank, log in enumerate(self.logs):
            place = {**address, "RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks else {}
            marker = hook if rank == len(self.logs) - 1 else None
            self.processes.append(clean_process(_run, line, place, log, marker, self.moment))
        for process in self.processes:
            process.start()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait while all processes live; fails when one ends or time is over first."""
        end = time.monotonic() + seconds
        while not condition():
            alive = all(process.is_alive() for process in self.processes)
            if not alive or time.monotonic() > end:
                self.kill()
                raise AssertionError(f"{'time is over' if alive else 'ended'}:\n{self.output()}")
            time.sleep(0.002)

    def wait_for_moment(self) -> None:
        self.wait_for(self.moment.exists)

    def signal(self, number: signal.Signals, rank: int | None = None) -> None:
        """To one rank, or to all of them."""
        for process in self.processes if rank is None else [self.processes[rank]]:
            os.kill(int(process.pid or 0), number)

    def codes(self, seconds: float = 120) -> list[int | None]:
        """Exit codes by rank; fails when they do not end in time."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        if any(process.is_alive() for process in self.processes):
            self.kill()
            raise AssertionError(f"did not end within {seconds} s:\n{self.output()}")
        return [process.exitcode for process in self.processes]

    def output(self) -> str:
        return "".join(log.read_text() for log in self.logs if log.exists())

    def errors(self) -> list[str]:
        """What was said to the user as errors, by all ranks together."""
        return [line for line in self.output().splitlines() if line.startswith("error:")]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def _run(line: list[str], place: dict[str, str], log: Path, hook: Hook | None, mark: Path) -> None:
    # A group of its own: what a terminal sends goes to the run and to what it started.
    os.setpgid(0, 0)
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    for name in LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    os.environ |= {**place, "OMP_NUM_THREADS": "1"}
    sys.argv = ["train", *line]
    code: object = 1
    try:
        import torch

        from hrm_scale.base.errors import run_cli
        from hrm_scale.train import main

        torch.set_num_threads(1)
        if hook is not None:
            hook(mark)
        run_cli(main)
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's end: threads of loaders and of wandb need not be waited for.
    os._exit(code if isinstance(code, int) else 1)
