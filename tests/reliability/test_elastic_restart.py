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

from tests.runs import (
    ROOT,
    arguments,
    assert_same_bits,
    call,
    environment,
    saved_steps,
    tensors_of,
    wait_until,
)
from tests.unit.data_sets import write_online

STEPS = 150
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
    settings = arguments(data, run, **SETTINGS, checkpoint__keep_last=20)
    done = call("hrm_scale.launch", "--processes", 2, *settings)
    assert done.returncode == 0, done.stderr
    return run


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


def workers(launcher: subprocess.Popen[str]) -> dict[int, int]:
    """Process ids of the workers by rank."""
    children = psutil.Process(launcher.pid).children()
    return {int(child.environ()["RANK"]): child.pid for child in children}


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
        os.kill(workers(process)[rank], signal.SIGKILL)
    except BaseException:
        end(process)
        raise
    output = end(process)
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


@pytest.mark.parametrize("launcher", list(LAUNCHERS))
def test_a_stop_on_request_is_not_answered_by_a_restart(
    launcher: str, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = {**SETTINGS, "max_steps": 5000}
    process = start(launcher, arguments(data, run, **settings))
    try:
        wait_until(lambda: bool(saved_steps(run)), process)
        (run / "STOP").touch()
    except BaseException:
        end(process)
        raise
    output = end(process)
    # torchrun knows only success and failure; a failure would be started again.
    assert process.returncode == (75 if launcher == "hrm_scale.launch" else 0), output
    assert output.count("file STOP in the run folder: stopped after step") == 1
    assert "resumed at step" not in output
    assert "Traceback" not in output


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to tell of the death")
def test_workers_do_not_outlive_a_killed_launcher(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = arguments(data, run, **SETTINGS)
    process = start("hrm_scale.launch", settings)
    try:
        wait_until(lambda: any(step >= 20 for step in saved_steps(run)), process)
        left = [psutil.Process(pid) for pid in workers(process).values()]
        process.kill()
        _, alive = psutil.wait_procs(left, timeout=60)
        assert alive == []
    except BaseException:
        end(process)
        raise
    # They have saved what they had, and the same command goes on from it.
    assert saved_steps(run)[-1] > 20
    again = call(*LAUNCHERS["hrm_scale.launch"][:3], *settings)
    assert again.returncode == 0, again.stderr
    assert_same_bits(tensors_of(undisturbed), tensors_of(run))
