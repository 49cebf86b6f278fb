"""Training from shards on a server: killed and resumed, with nothing in the cache or all of it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.runs import (
    Program,
    arguments,
    assert_same_bits,
    call,
    metrics_of,
    saved_steps,
    tensors_of,
    train_here,
    wait_until,
)
from tests.support.arc_sets import build_arc, write_tasks
from tests.support.servers import nginx

TRAIN = "hrm_scale.train"
STEPS = 30
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "global_batch_size": 4,
    "arch__L_cycles": 1,
    "arch__halt_max_steps": 2,
    "checkpoint__every_steps": 10,
    "evaluation__every_steps": 15,
    "evaluation__limit": 4,
    "data__window": 2,
    "log__every": 5,
}


@pytest.mark.slow
def test_arc_from_a_server_with_faults_killed_and_resumed_equals_local(tmp_path: Path) -> None:
    raw = write_tasks(tmp_path / "raw", training=40, evaluation=4)
    data = build_arc(raw, tmp_path / "data", "--num-aug", "20")
    train_here(data, tmp_path / "local", **SETTINGS)

    run, cache = tmp_path / "remote", tmp_path / "cache"
    with nginx(tmp_path / "nginx", data) as server:
        settings = {**SETTINGS, "data__cache": cache}
        line = arguments(Path("."), run, **settings, data_path=server.url("busy"))
        killed = Program(TRAIN, *line)
        try:
            wait_until(lambda: bool(saved_steps(run)), killed)
            killed.send_signal(signal.SIGKILL)
            killed.communicate(timeout=60)
        finally:
            killed.kill()
        assert 10 <= saved_steps(run)[-1] < STEPS
        # The second node of this run's life has fetched nothing yet.
        shutil.rmtree(cache)
        done = call(TRAIN, *line)
        assert done.returncode == 0, done.stderr
        assert server.requests("206"), "records were read from the server"
    assert saved_steps(run)[-1] == STEPS
    assert_same_bits(tensors_of(run), tensors_of(tmp_path / "local"))
    assert metrics_of(run) == metrics_of(tmp_path / "local")
