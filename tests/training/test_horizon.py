"""When a run ends, whether it compiles, and that a folder belongs to one process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tiny.models import tiny_config
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.machine import boot_clock, seconds_since
from hrm_scale.config.schema import ArchConfig, EvaluationConfig, RunConfig
from hrm_scale.models.flops import mean_training_flops, remaining_flops, training_flops
from hrm_scale.models.recursion import curriculum_cycles
from hrm_scale.training.horizon import Horizon, plan_horizon
from hrm_scale.training.performance import resolve_compile
from hrm_scale.training.watch import lock_run

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def plan(examples: float = 1000, **settings: Any) -> Horizon:
    defaults: dict[str, Any] = {"global_batch_size": 32, "epochs": None, "eval_interval": None}
    return plan_horizon(RunConfig(**{**defaults, **settings}), examples)


def test_equal_work_is_fewer_steps_of_a_heavier_model() -> None:
    light = tiny_config()
    heavy = tiny_config(H_cycles=4)
    run = RunConfig(global_batch_size=32, epochs=None, max_flops=1e10)
    for model in (light, heavy):
        horizon = plan_horizon(run, 1000, model)
        assert horizon.limit == "max_flops"
        assert horizon.total_steps == 10**10 // training_flops(model, 32)
    deeper = tiny_config(H_cycles=3, L_cycles=3)
    whole = plan_horizon(run, 1000, deeper).total_steps
    arch = ArchConfig(depth_curriculum="cgar")
    staged = plan_horizon(run.model_copy(update={"arch": arch}), 1000, deeper).total_steps
    assert whole * 1.4 < staged < whole * 2.5


@pytest.mark.parametrize("total", [10, 17, 100])
def test_the_work_that_is_left(total: int) -> None:
    model = tiny_config(H_cycles=3, L_cycles=3)
    left = 0
    for step in range(total - 1, -1, -1):
        flat = remaining_flops(model, 4, step, total, curriculum=False)
        assert flat == (total - step) * training_flops(model, 4)
        work = training_flops(model, 4, curriculum_cycles(model, step / total))
        left += work
        # A stage that begins within a step is taken to begin there.
        near = 0 if total % 10 == 0 else 2 * training_flops(model, 4)
        assert remaining_flops(model, 4, step, total, True) == pytest.approx(left, abs=near)
    assert remaining_flops(model, 4, total, total, True) == 0
    mean = mean_training_flops(model, 4, curriculum=True)
    assert remaining_flops(model, 4, 0, total, True) == pytest.approx(mean * total)


@pytest.mark.parametrize(
    ("settings", "steps", "limit"),
    [
        ({"epochs": 10, "eval_interval": 10}, 312, "epochs"),  # 10 * 1000 / 32, rounded down
        ({"max_steps": 77}, 77, "max_steps"),
        ({"max_samples": 3200}, 100, "max_samples"),
        ({"max_samples": 3231}, 100, "max_samples"),
        ({"max_steps": 77, "max_samples": 3200}, 77, "max_steps"),
        ({"epochs": 1, "max_steps": 77, "max_samples": 3200}, 31, "epochs"),
        ({"max_steps": 40, "max_time": 60}, 40, "max_steps"),
    ],
)
def test_the_smallest_limit_ends_the_run(settings: dict[str, Any], steps: int, limit: str) -> None:
    horizon = plan(**settings)
    assert (horizon.total_steps, horizon.limit) == (steps, limit)
    assert horizon.steps_per_epoch == 1000 / 32


def test_time_alone_gives_a_horizon_that_is_never_reached() -> None:
    horizon = plan(max_time=60)
    assert horizon.limit == "max_time"
    assert horizon.total_steps > 10**11


def test_less_than_one_step_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        plan(examples=20, epochs=1, eval_interval=1)
    message = str(caught.value)
    assert "epochs=1" in message
    assert "20 examples an epoch" in message
    assert "global_batch_size=32" in message
    assert "\n" not in message


def test_evaluation_is_every_so_many_epochs_or_steps() -> None:
    assert plan(epochs=100, eval_interval=10).eval_every == 312
    assert plan(max_steps=9).eval_every is None
    # An interval below one step means every step.
    assert plan(examples=2, epochs=100, eval_interval=10).eval_every == 1
    both = plan(epochs=100, eval_interval=10, evaluation=EvaluationConfig(every_steps=7))
    assert both.eval_every == 7
    assert [step for step in range(1, 22) if both.evaluates_at(step)] == [7, 14, 21]


def test_saving_without_an_interval_is_left_to_the_clock() -> None:
    assert not plan(max_steps=9).saves_at(9)


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(1, 40))
def test_a_run_never_trains_on_more_than_its_epochs(examples: int, batch: int, epochs: int) -> None:
    try:
        horizon = plan(
            examples=examples, epochs=epochs, eval_interval=epochs, global_batch_size=batch
        )
    except ConfigError:
        assert examples * epochs < batch
        return
    assert horizon.total_steps * batch <= examples * epochs < (horizon.total_steps + 1) * batch


@pytest.mark.parametrize("asked", [True, False])
def test_compile_is_what_was_asked_for(asked: bool) -> None:
    assert resolve_compile(asked, CPU, 1) == (asked, "asked for")


def test_automatic_compile_waits_for_a_long_run_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert resolve_compile("auto", CUDA, 1)[0]
    assert resolve_compile("auto", CPU, 100_000)[0]
    assert not resolve_compile("auto", CPU, 10)[0]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    compiled, why = resolve_compile("auto", CPU, 100_000)
    assert not compiled
    assert "g++" in why


HOLD = """
import sys
from pathlib import Path
from hrm_scale.training.watch import lock_run
handle = lock_run(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_one_is_gone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process is training in") as caught:
            lock_run(run)
        assert str(run) in str(caught.value)
        # Even a killed process leaves no lock behind.
        other.kill()
        other.wait()
        lock_run(run).close()
    finally:
        other.kill()
        other.communicate()


def test_the_lock_says_when_it_was_taken(tmp_path: Path) -> None:
    def taken() -> dict[str, Any]:
        moment: dict[str, Any] = json.loads((tmp_path / ".lock").read_text())
        return moment

    before = boot_clock()
    with lock_run(tmp_path):
        first = taken()
        with pytest.raises(ConfigError):
            lock_run(tmp_path)
        assert taken() == first  # who does not get it changes nothing
    with lock_run(tmp_path):
        assert before["monotonic"] <= first["monotonic"] < taken()["monotonic"]
    assert first["boot_id"] == before["boot_id"]


@pytest.mark.skipif(not boot_clock()["boot_id"], reason="needs Linux's boot_id")
def test_moments_of_other_machines_are_not_compared() -> None:
    moment = boot_clock()
    assert 0 <= (seconds_since(moment) or 0.0) < 60
    assert seconds_since({**moment, "boot_id": "another"}) is None
    assert seconds_since({**moment, "monotonic": moment["monotonic"] + 1e6}) is None
    for junk in ({}, {"boot_id": moment["boot_id"]}, {**moment, "monotonic": "1"}):
        assert seconds_since(junk) is None


def test_the_lock_is_free_after_closing(tmp_path: Path) -> None:
    lock_run(tmp_path / "run").close()
    lock_run(tmp_path / "run").close()
