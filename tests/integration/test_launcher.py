"""`python -m hrm_scale.launch`: exit codes, signals and words, with small programs as workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import (
    ROOT,
    arguments,
    call,
    environment,
    error_lines,
    saved_steps,
    stop_lines,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.multi]

# The agent with any program in place of the training.
START = """
import sys
from hrm_scale.launch.elastic import Job, launch
from hrm_scale.base.errors import run_cli
processes, restarts, patience, script = sys.argv[1:]
job = Job(
    command=(sys.executable, "-c", script), processes=int(processes), nodes=1, node_rank=0,
    endpoint=("127.0.0.1", 0), address="127.0.0.1", run_id="", max_restarts=int(restarts),
    stop_seconds=float(patience), rendezvous_seconds=30,
)
run_cli(lambda _: launch(job))
"""
# What a training process does with a request to stop.
STOPPABLE = """
import os, signal, sys, time
from pathlib import Path
from hrm_scale.base.worker_exit import stop_is_no_failure
asked = []
for name in ("SIGTERM", "SIGINT", "SIGUSR1"):
    signal.signal(getattr(signal, name), lambda number, _: asked.append(number))
Path({folder!r}, os.environ["RANK"]).touch()
while not asked:
    time.sleep(0.02)
time.sleep({save} * (1 + int(os.environ["RANK"])))
Path({folder!r}, "saved" + os.environ["RANK"]).write_text(str(asked[0]))
with stop_is_no_failure():
    sys.exit(75)
"""


def start(script: str, restarts: int = 0, patience: float = 30) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, "2", str(restarts), str(patience), script],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr; no worker is left."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    try:
        _, err = process.communicate(timeout=60)
        assert not [child for child in family if child.is_running()]
        return process.returncode, err
    finally:
        process.kill()
        for child in family:
            if child.is_running():
                child.kill()


def test_the_code_of_the_first_failed_worker_is_the_launchers() -> None:
    script = """
import os, sys, time
if os.environ["RANK"] == "1":
    print("error: no", file=sys.stderr)
    sys.exit(6)
time.sleep(60)
"""
    begun = time.monotonic()
    # A documented end is final: two restarts would meet it again.
    assert end(start(script, restarts=2)) == (6, "error: no\n")
    assert time.monotonic() - begun < 30


def test_a_crash_is_started_again_as_often_as_allowed(tmp_path: Path) -> None:
    script = f"""
import os, signal, time
from pathlib import Path
from hrm_scale.base.worker_exit import is_restart
if os.environ["RANK"] == "1":
    Path({str(tmp_path)!r}, "restarted" if is_restart() else "started").touch()
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""
    code, err = end(start(script, restarts=1))
    assert sorted(os.listdir(tmp_path)) == ["restarted", "started"]
    assert code == 128 + signal.SIGKILL
    first, last = err.splitlines()
    assert "rank 1 was killed by SIGKILL; starting all again" in first
    assert "(restart 1 of 1)" in first
    assert "out of memory, perhaps?" in last
    assert "the same command resumes from the newest checkpoint" in last


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"])
def test_a_signal_reaches_the_workers_once_and_they_take_their_time(
    name: str, tmp_path: Path
) -> None:
    process = start(STOPPABLE.format(folder=str(tmp_path), save=0.5), restarts=2)
    wait_until(lambda: {"0", "1"} <= set(os.listdir(tmp_path)), process)
    process.send_signal(getattr(signal, name))
    assert end(process) == (75, "")
    number = signal.SIGTERM if name == "SIGHUP" else getattr(signal, name)
    for rank in (0, 1):
        assert (tmp_path / f"saved{rank}").read_text() == str(int(number))


def test_a_worker_that_never_stops_is_killed_in_the_end(tmp_path: Path) -> None:
    process = start(STOPPABLE.format(folder=str(tmp_path), save=600), patience=1)
    wait_until(lambda: {"0", "1"} <= set(os.listdir(tmp_path)), process)
    process.send_signal(signal.SIGTERM)
    code, err = end(process)
    assert code == 5
    assert "not stopped and saved within 1 s" in err
    assert len(err.splitlines()) == 1


def test_asked_to_stop_before_anything_listens(tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
Path({str(tmp_path)!r}, os.environ["RANK"]).touch()
time.sleep(60)
"""
    process = start(script, restarts=2)
    wait_until(lambda: {"0", "1"} <= set(os.listdir(tmp_path)), process)
    process.send_signal(signal.SIGTERM)
    code, err = end(process)
    assert code == 75
    assert err == (
        "signal SIGTERM: stopped before there was anything to save; the same command resumes the"
        " run\n"
    )


# --- the command, with real training ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--proceses", "2"], "unrecognized arguments: --proceses"),
        (["--processes", "0"], "'0' is not a whole number of at least 1"),
        (["--nodes", "2"], "--nodes 2 needs --rendezvous HOST:PORT"),
        (["--nodes", "2", "--rendezvous", "a:1"], "needs a --node-rank of 0 to 1, got nothing"),
        (["--nodes", "2", "--rendezvous", "a"], "'a' is not HOST:PORT"),
        (["--processes", "3"], "make it a multiple of 3"),
        (["--processes", "2", "lr=much"], "lr"),
    ],
)
def test_wrong_usage_is_one_line_and_starts_nothing(
    options: list[str], says: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = call("hrm_scale.launch", *arguments(tmp_path / "data", run, max_steps=5), *options)
    assert done.returncode == 2, done.stderr
    (message,) = done.stderr.splitlines()
    assert says in message
    assert not run.exists()


@pytest.mark.parametrize(("rank", "port"), [(1, 1), (0, 29513)])
def test_nodes_that_do_not_meet_are_one_line(rank: int, port: int, tmp_path: Path) -> None:
    options = ["--nodes", 2, "--node-rank", rank, "--rendezvous", f"127.0.0.1:{port}"]
    settings = arguments(tmp_path / "data", tmp_path / "run", max_steps=5)
    done = call("hrm_scale.launch", *options, "--rendezvous-seconds", 2, *settings)
    assert done.returncode == 5, done.stderr
    (message,) = done.stderr.splitlines()
    assert f"node {rank} of 2: no rendezvous at 127.0.0.1:{port}" in message


def test_an_error_of_every_process_is_told_once(tmp_path: Path) -> None:
    settings = arguments(tmp_path / "gone", tmp_path / "run", max_steps=5)
    done = call("hrm_scale.launch", "--processes", 2, *settings)
    assert done.returncode == 3, done.stderr
    assert len(error_lines(done.stderr)) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_stopped_by_a_signal_and_started_again(tmp_path: Path) -> None:
    data, run = write_online(tmp_path / "data", examples=100), tmp_path / "run"
    settings: dict[str, Any] = {"checkpoint__every_steps": 10, "evaluation__full_at_end": "false"}
    line = ["--processes", "2", *arguments(data, run, max_steps=5000, **settings)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hrm_scale.launch", *line],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: bool(saved_steps(run)), process)
    process.send_signal(signal.SIGINT)
    code, err = end(process)
    assert code == 75, err
    (message,) = stop_lines(err)
    held = saved_steps(run)[-1]
    assert f"signal SIGINT: stopped after step {held}" in message
    assert "Continue with: python -m hrm_scale.launch --processes 2 data_path=" in message
    assert "Traceback" not in err
    # One process is enough to go on with, and needs no launcher around it.
    steps = held + 5
    settings["log__console"] = "line"
    done = call(
        "hrm_scale.launch", *arguments(data, run, max_steps=steps, **settings), "--processes", 1
    )
    assert done.returncode == 0, done.stderr
    assert f"resumed at step {held}" in done.stdout + done.stderr
    assert saved_steps(run)[-1] == steps
