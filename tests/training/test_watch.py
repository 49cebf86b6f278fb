"""The heartbeat says where a run is; a stall prints what every thread is doing."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hrm_scale.training.watch import HEARTBEAT_FILE, STACKS_FOLDER, Watch


def beat(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / HEARTBEAT_FILE).read_text())
    return found


def make(run: Path, rank: int = 0, stall: float | None = None) -> Watch:
    watch = Watch(run, rank, 100, stall, lambda: 12.5)
    watch.begin(0)
    return watch


def wait_here_for_ever(asleep: threading.Event) -> None:
    asleep.wait(10)


def test_the_heartbeat_follows_steps_and_phases(tmp_path: Path) -> None:
    watch = make(tmp_path)
    first = beat(tmp_path)
    assert (first["phase"], first["step"], first["total_steps"]) == ("starting", 0, 100)
    assert (first["pid"], first["eta_seconds"]) == (os.getpid(), 12.5)
    with watch, watch.phase("training"):
        watch.progress(7)
        with watch.phase("evaluation"):
            assert (beat(tmp_path)["phase"], beat(tmp_path)["step"]) == ("evaluation", 7)
        assert beat(tmp_path)["phase"] == "training"
    assert beat(tmp_path)["phase"] == "ended"
    assert beat(tmp_path)["time"] >= first["time"]
    assert [path.name for path in tmp_path.iterdir()] == [HEARTBEAT_FILE]


def test_other_ranks_leave_the_heartbeat_alone(tmp_path: Path) -> None:
    with make(tmp_path, rank=1):
        pass
    assert not (tmp_path / HEARTBEAT_FILE).exists()


def test_a_stall_is_told_once_with_the_stacks_of_all_threads(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asleep = threading.Event()
    thread = threading.Thread(target=wait_here_for_ever, args=(asleep,))
    thread.start()
    try:
        with make(tmp_path, rank=3, stall=0.2) as watch, watch.phase("training"):
            watch.progress(42)
            time.sleep(1.0)
            told = capfd.readouterr().err
            watch.progress(43)
            time.sleep(0.1)
    finally:
        asleep.set()
        thread.join()
    assert told.count("rank 3 has made no progress") == 1
    assert "at step 42 (training)" in told
    assert "wait_here_for_ever" in told
    assert "test_a_stall_is_told_once" in told
    assert (tmp_path / STACKS_FOLDER / "rank-00003.txt").read_text() in told


def test_code_that_never_lets_go_of_the_interpreter_is_told_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with make(tmp_path, stall=0.2):
        time.sleep(0.3)  # the timer is armed
        ctypes.PyDLL(None).usleep(1_500_000)  # unlike CDLL, it keeps the interpreter
    assert "Timeout" in capfd.readouterr().err


@pytest.mark.parametrize("jump", [3e8, -3e8])
def test_setting_the_time_of_day_makes_no_stall_and_hides_none(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    set_at, clock = time.time() + jump, [1000.0]
    with Watch(tmp_path, 0, 100, 1.0, lambda: None, now=lambda: clock[0]) as watch:
        monkeypatch.setattr(time, "time", lambda: set_at)
        time.sleep(0.6)  # it looks twice
        with watch.phase("training"):
            clock[0] += 0.5
            with watch.phase("evaluation"):
                seen = beat(tmp_path)
            assert (seen["time"], seen["progress_time"]) == (set_at, set_at)
            assert capfd.readouterr().err == ""
            clock[0] += 7.0
            until = time.monotonic() + 30
            while not (tmp_path / STACKS_FOLDER).exists() and time.monotonic() < until:
                time.sleep(0.05)
    assert "no progress for 7 s" in capfd.readouterr().err


def test_a_heartbeat_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    with make(tmp_path / "missing") as watch, watch.phase("training"):
        watch.progress(1)
