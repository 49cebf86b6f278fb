"""A real run that is stopped, killed and finished, as `python -m tools.run` sees it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import Program, arguments, call, saved_steps, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.multi]
TRAIN, TOOL = "hrm_scale.train", "tools.run"


def status(run: Path, *, code: int) -> dict[str, Any]:
    result = call(TOOL, "status", "--json", run)
    assert result.returncode == code, result
    return json.loads(result.stdout)


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    data, run = write_online(tmp_path / "data"), tmp_path / "run"
    settings = {"checkpoint__every_steps": 20, "evaluation__every_steps": 40}
    endless = arguments(data, run, max_steps=100_000, **settings)

    process = Program(TRAIN, *endless)
    wait_until(lambda: bool(saved_steps(run)), process)
    seen = status(run, code=0)
    assert seen["state"] == "running"
    assert seen["total_steps"] == 100_000
    assert seen["checkpoint"]["problem"] is None
    process.terminate()
    assert process.wait(60) == 75

    seen = status(run, code=75)
    assert (seen["state"], seen["exit_code"], seen["restarts"]) == ("stopped", 75, 0)
    assert "SIGTERM" in seen["ended"]
    assert seen["step"] == seen["checkpoint"]["step"]
    assert "hrm_scale.train" in seen["command"]
    shown = call(TOOL, "status", run).stdout
    assert shown.rstrip().endswith(seen["command"])

    reached = saved_steps(run)[-1]
    process = Program(TRAIN, *endless)
    wait_until(lambda: saved_steps(run)[-1] > reached + 60, process)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    seen = status(run, code=1)
    assert (seen["state"], seen["exit_code"], seen["restarts"]) == ("died", None, 1)
    assert seen["best_exact_accuracy"] is not None

    last = saved_steps(run)[-1]
    done = call(TRAIN, *arguments(data, run, max_steps=last + 30, **settings))
    assert done.returncode == 0, done.stderr
    seen = status(run, code=0)
    assert (seen["state"], seen["step"], seen["restarts"]) == ("finished", last + 30, 2)
    assert (seen["exit_code"], seen["ended"]) == (0, "done")

    pytest.importorskip("matplotlib")
    drawn = call(TOOL, "plot", run)
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout == f"drawn: {run / 'plot.png'}\n"
    assert drawn.stderr == ""
    assert os.path.getsize(run / "plot.png") > 20_000


def test_an_error_is_recorded(tmp_path: Path) -> None:
    data, run = write_online(tmp_path / "data"), tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").touch()  # where a folder is needed
    result = call(TRAIN, *arguments(data, run, max_steps=5))
    assert result.returncode == 4, result
    seen = status(run, code=1)
    assert (seen["state"], seen["exit_code"]) == ("failed", 4)
    assert f"error: {seen['ended']}" in result.stderr
    shown = call(TOOL, "status", run).stdout
    assert "failed, exit status 4 (a checkpoint missing, damaged or not saved)" in shown
