"""A worker that is killed: the launcher starts all again, and the run ends as if undisturbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.reliability.victim import workers_of
from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import (
    ROOT,
    arguments,
    assert_same_bits,
    environment,
    saved_steps,
    tensors_of,
    train_here,
    wait_until,
)

STEPS = 90
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "checkpoint__every_steps": 10,
    "evaluation__full_at_end": "false",
    "evaluation__limit": 10,
    "log__console": "line",
}
LAUNCHERS = {
    "torchrun": [
        *["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "2"],
        *["-m", "hrm_scale.train"],
    ],
    "hrm_scale.launch": ["hrm_scale.launch", "--processes", "2", "--max-restarts", "2"],
}

pytestmark = [pytest.mark.slow, pytest.mark.multi]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("elastic") / "data", examples=100)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes from its first step to its last, with all its checkpoints."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(data, run, checkpoint__keep_last=20)
    return run


def finish(data: Path, run: Path, **changes: Any) -> None:
    """Two processes without a launcher train from where the run is to its end."""
    run_ranks(2, lambda: train_here(data, run, **SETTINGS, **changes).parts.engine.close())


def start(launcher: str, settings: list[str]) -> subprocess.Popen[str]:
    # torchrun leaves this to its user, see docs/launch.md.
    shared = {} if launcher == "hrm_scale.launch" else {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *LAUNCHERS[launcher], *settings],
        cwd=ROOT,
        env={**environment(), **shared},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(launcher: subprocess.Popen[str]) -> str:
    """The output of a launcher that ends by itself; no process is left in any case."""
    family = psutil.Process(launcher.pid).children(recursive=True)
    try:
        return launcher.communicate(timeout=180)[0]
    finally:
        launcher.kill()
        for child in family:
            if child.is_running():
                child.kill()


def ask_to_stop(process: subprocess.Popen[str], run: Path, gone: int | None = None) -> None:
    """Once two workers, other than the `gone` one, have saved a checkpoint."""
    wait_until(
        lambda: len(new := workers_of(process.pid)) == 2 and gone not in new.values(), process
    )
    saved = saved_steps(run)[-1]
    wait_until(lambda: saved_steps(run)[-1] > saved, process)
    os.kill(workers_of(process.pid)[1], signal.SIGUSR1)


def assert_stopped(run: Path, output: str) -> None:
    """Asked once, and not started again."""
    assert output.count(f"signal SIGUSR1: stopped after step {saved_steps(run)[-1]}") == 1, output
    assert saved_steps(run)[-1] < STEPS
    assert "Traceback" not in output.split("SIGUSR1")[1]


@pytest.mark.parametrize(("launcher", "rank"), [("torchrun", 1), ("hrm_scale.launch", 0)])
def test_a_killed_worker_is_replaced_and_the_run_ends_the_same(
    launcher: str, rank: int, data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    # What is typed is a request to the first start: a restart must not go back to it.
    path = undisturbed / "checkpoints" / "step-00000010"
    process = start(launcher, arguments(data, run, resume=path, **SETTINGS))
    try:
        wait_until(lambda: any(step >= 30 for step in saved_steps(run)), process)
        victim = workers_of(process.pid)[rank]
        os.kill(victim, signal.SIGKILL)
        if launcher == "torchrun":
            # The new workers are asked to stop, which no restart answers.
            ask_to_stop(process, run, gone=victim)
    except BaseException:
        end(process)
        raise
    output = end(process)
    if launcher == "torchrun":
        assert_stopped(run, output)
        finish(data, run)
    # torchrun knows only success and failure, and would start a failure again.
    assert process.returncode == 0, output
    first, then = (int(step) for step in re.findall(r"resumed at step (\d+)", output))
    assert (first, then >= 30) == (10, True), output
    assert not list(run.glob("checkpoints/superseded*"))
    assert "Traceback" not in output  # of those who lost it
    if launcher == "hrm_scale.launch":
        said = "rank 0 was killed by SIGKILL; starting all again from the newest checkpoint"
        assert f"launch: {said} (restart 1 of 2)" in output
    assert saved_steps(run)[-1] == STEPS
    assert_same_bits(tensors_of(undisturbed), tensors_of(run))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to tell of the death")
def test_workers_do_not_outlive_a_killed_launcher_and_a_stop_is_no_restart(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = arguments(data, run, **SETTINGS)
    process = start("hrm_scale.launch", settings)
    try:
        wait_until(lambda: any(step >= 20 for step in saved_steps(run)), process)
        left = [psutil.Process(pid) for pid in workers_of(process.pid).values()]
        process.kill()
        _, alive = psutil.wait_procs(left, timeout=60)
        assert alive == []
    except BaseException:
        end(process)
        raise
    # They have saved what they had, and the same command resumes from it, until asked to stop.
    reached = saved_steps(run)[-1]
    assert reached > 20
    process = start("hrm_scale.launch", settings)
    try:
        ask_to_stop(process, run)
    except BaseException:
        end(process)
        raise
    output = end(process)
    assert process.returncode == 75, output
    assert_stopped(run, output)
    assert output.count(f"resumed at step {reached}") == 1, "no restart answers a stop on request"
    finish(data, run)
    assert_same_bits(tensors_of(undisturbed), tensors_of(run))
