"""Time, requests to stop, and the checks before damage is done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hrm_scale.config.schema import CheckpointConfig, RunConfig
from hrm_scale.training.clock import Clock
from hrm_scale.training.saving import Saving, disk_warning
from hrm_scale.training.snapshot import TrainState
from hrm_scale.training.stop import StopRequest


class Time:
    def __init__(self) -> None:
        self.value = 1000.0

    def __call__(self) -> float:
        return self.value


def steps(clock: Clock, time: Time, count: int, seconds: float, samples: int = 8) -> None:
    for _ in range(count):
        time.value += seconds
        clock.tick(samples)


def test_rates_leave_out_the_first_step_and_pauses() -> None:
    time = Time()
    clock = Clock(now=time)
    assert clock.steps_per_second is None
    assert clock.eta_seconds(10) is None
    steps(clock, time, 1, 60.0)  # compilation
    assert clock.steps_per_second is None
    steps(clock, time, 10, 0.5)
    with clock.paused("evaluation"):
        time.value += 100.0
    steps(clock, time, 10, 0.5)
    assert clock.steps_per_second == pytest.approx(2.0)
    assert clock.examples_per_second == pytest.approx(16.0)
    assert clock.train_seconds == pytest.approx(70.0)
    assert clock.paused_seconds == {"evaluation": pytest.approx(100.0)}
    assert clock.total_seconds == pytest.approx(170.0)
    # 21 steps cost 100 s of pauses; that goes on.
    assert clock.eta_seconds(21) == pytest.approx(21 * 0.5 + 100.0)
    assert clock.eta_seconds(-1) == 0


def test_steps_of_different_depth_count_by_their_flops() -> None:
    """A machine of 100 FLOP/s: at first steps of 50 FLOPs, then of 200."""
    time = Time()
    clock = Clock(now=time)
    assert clock.flops == 0
    for step in range(40):
        work = 50 if step < 20 else 200
        time.value += work / 100
        clock.tick(8, work)
        if step > 0:
            assert clock.flops_per_second == pytest.approx(100)
            left = 50 * max(19 - step, 0) + 200 * (39 - max(step, 19))
            assert clock.eta_seconds(39 - step, left) == pytest.approx(left / 100)
    assert clock.flops == 20 * 250
    with clock.paused("evaluation"):
        time.value += 80  # 2 seconds for each step
    assert clock.eta_seconds(10, 1000) == pytest.approx(1000 / 100 + 10 * 2)
    state = json.loads(json.dumps(clock.state_dict()))
    again = Clock(now=time)
    again.load_state_dict(state)
    assert (again.flops, again.flops_per_second) == (20 * 250, pytest.approx(100))
    assert again.eta_seconds(10, 1000) == pytest.approx(1000 / 100 + 10 * 2)


def test_window_forgets_old_speed() -> None:
    time = Time()
    clock = Clock(window=5, now=time)
    steps(clock, time, 20, 10.0)
    steps(clock, time, 6, 0.1)
    assert clock.steps_per_second == pytest.approx(10.0)
    # Five intervals it is: one slow step among them shows, and is gone after five more.
    steps(clock, time, 1, 4.6)
    steps(clock, time, 4, 0.1)
    assert clock.steps_per_second == pytest.approx(5 / 5.0)
    steps(clock, time, 1, 0.1)
    assert clock.steps_per_second == pytest.approx(10.0)


def test_share_of_waiting_for_data() -> None:
    time = Time()
    clock = Clock(now=time)
    steps(clock, time, 1, 1.0)
    for _ in range(4):
        with clock.waiting_for_data():
            time.value += 0.25
        steps(clock, time, 1, 0.75)
    assert clock.data_wait_share == pytest.approx(0.25)


def test_nested_and_running_pauses_count_once() -> None:
    time = Time()
    clock = Clock(now=time)
    with clock.paused("evaluation"):
        time.value += 1.0
        with clock.paused("checkpoint"):
            time.value += 2.0
            assert clock.train_seconds == pytest.approx(0.0)
            assert clock.state_dict()["paused"] == {"evaluation": pytest.approx(3.0)}
            assert clock.total_seconds == pytest.approx(3.0)
    assert clock.paused_seconds == {"evaluation": pytest.approx(3.0)}


def test_totals_and_eta_survive_a_restart() -> None:
    time = Time()
    first = Clock(now=time)
    steps(first, time, 11, 0.5)
    with first.paused("checkpoint"):
        time.value += 11.0
        state = json.loads(json.dumps(first.state_dict()))
    time.value += 99999.0  # nobody runs
    second = Clock(now=time)
    second.load_state_dict(state)
    assert second.total_seconds == pytest.approx(5.5 + 11.0)
    assert second.eta_seconds(10) == pytest.approx(10 * (0.5 + 1.0))
    assert second.examples_per_second == pytest.approx(16.0)
    steps(second, time, 3, 2.0)
    assert second.steps_per_second == pytest.approx(0.5)
    assert second.train_seconds == pytest.approx(5.5 + 6.0)
    third = Clock(now=time)
    third.load_state_dict(second.state_dict())
    assert third.total_seconds == pytest.approx(second.total_seconds)
    # 11 s of pauses in 14 steps of two processes.
    assert third.eta_seconds(14) == pytest.approx(14 * 2.0 + 11.0)


def test_a_save_is_due_after_so_many_minutes(tmp_path: Path) -> None:
    time = Time()
    clock, stub = Clock(now=time), cast(Any, None)
    run = RunConfig(checkpoint=CheckpointConfig(every_minutes=2))
    state = TrainState()
    parts: Any = SimpleNamespace(config=run, clock=clock, state=state, guard=SimpleNamespace())
    saving = Saving(parts, stub)
    time.value += 119.0
    assert not saving.minutes_are_up
    time.value += 1.0
    assert saving.minutes_are_up


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_real_signals_are_seen_and_handlers_restored(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.poll() is None
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.poll() == f"signal {name}"
        assert stop.poll() == f"signal {name}"
    assert signal.getsignal(number) is before


def test_second_interrupt_does_not_wait(capfd: pytest.CaptureFixture[str]) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        assert "Ctrl-C again" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    # Many SIGTERMs are no reason to give up the save that is going on.
    with StopRequest() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.poll() == "signal SIGTERM"


def test_stop_file_is_looked_for_once_a_second_and_removed(tmp_path: Path) -> None:
    time = Time()
    stop = StopRequest(tmp_path, now=time)
    assert stop.poll() is None
    (tmp_path / "STOP").touch()
    assert stop.poll() is None
    time.value += 1.0
    assert stop.poll() == "file STOP in the run folder"
    assert not (tmp_path / "STOP").exists()
    assert StopRequest(tmp_path, now=time).poll() is None


def test_time_limit_counts_earlier_processes() -> None:
    time = Time()
    clock = Clock(now=time)
    clock.load_state_dict({**clock.state_dict(), "train": 80.0, "paused": {"x": 10.0}, "steps": 1})
    stop = StopRequest(max_seconds=100.0, elapsed=lambda: clock.total_seconds, now=time)
    time.value += 9.0
    assert stop.poll() is None
    time.value += 1.0
    assert stop.poll() == "time limit max_time reached"


def test_ranks_agree_on_one_reason() -> None:
    others = StopRequest()
    asked = StopRequest(max_seconds=0.0, elapsed=lambda: 1.0)
    codes: list[int] = []

    def collect(code: int) -> int:
        codes.append(code)
        return code

    reason = asked.poll(collect)
    assert others.poll(lambda code: max(code, *codes)) == reason
    assert others.poll() == reason  # and it stays asked


def test_signal_during_the_agreement_counts_at_the_next_poll() -> None:
    with StopRequest() as stop:

        def agree(code: int) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            return code

        assert stop.poll(agree) is None
        assert stop.poll() == "signal SIGTERM"


def test_outside_the_main_thread_it_still_works(tmp_path: Path) -> None:
    reasons: list[str | None] = []

    def work() -> None:
        with StopRequest(tmp_path) as stop:
            (tmp_path / "STOP").touch()
            reasons.append(stop.poll())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reasons == ["file STOP in the run folder"]


def test_disk_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 100 << 20))
    assert disk_warning(tmp_path / "not" / "yet", 50 << 20) is None
    text = disk_warning(tmp_path / "not" / "yet", 51 << 20)
    assert text is not None
    assert "100 MiB free" in text
    assert "51 MiB" in text
