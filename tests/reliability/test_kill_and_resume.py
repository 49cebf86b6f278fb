"""A run that is killed, stopped or damaged in between ends as if nothing had happened."""

from __future__ import annotations

import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import (
    Program,
    arguments,
    assert_same_bits,
    call,
    error_lines,
    make_halting_likely,
    metrics_of,
    saved_steps,
    stop_lines,
    tensors_of,
    train_here,
    wait_until,
)
from hrm_scale.training.trainer import Trainer

TRAIN = "hrm_scale.train"
# What tells of every start, also of one that does nothing.
WATCHED = {".lock", "log.txt", "events.jsonl", "heartbeat.json"}
# 100 examples in batches of 8: an epoch ends every 12.5 steps, and no checkpoint is at its end.
# Log lines of 7 steps and evaluations every 15 straddle the checkpoints.
STEPS = 60
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "checkpoint__every_steps": 10,
    "evaluation__every_steps": 15,
    "evaluation__limit": 20,
    "log__every": 7,
}
# Checkpoints at tens only.
HALFWAY = {**SETTINGS, "evaluation__every_steps": "null", "evaluation__full_at_end": "false"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("kill") / "data", examples=100)


def assert_same_end(one: Path, other: Path) -> None:
    assert saved_steps(one)[-1] == saved_steps(other)[-1] == STEPS
    assert_same_bits(tensors_of(one), tensors_of(other))
    assert metrics_of(one) == metrics_of(other)


def kill_after(step: int, line: list[str], run: Path, number: int = signal.SIGKILL) -> int:
    """Start a run, send a signal once it has saved `step`; its exit status, its output thrown."""
    process = Program(TRAIN, *line)
    try:
        wait_until(lambda: any(saved >= step for saved in saved_steps(run)), process)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode


@pytest.mark.slow
def test_killed_and_started_again_ends_bit_identically(data: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = {**SETTINGS, "data__refill": "on_halt", "engine__accumulation": 4}
    # Both go on from the same first steps, in which slots have halted at different times.
    first = {**settings, "max_steps": 5, "evaluation__full_at_end": "false"}
    train_here(data, whole, make_halting_likely, **first)
    shutil.copytree(whole, broken)
    train_here(data, whole, **settings)

    line = arguments(data, broken, **settings)
    assert kill_after(20, line, broken) == -signal.SIGKILL
    assert 20 <= saved_steps(broken)[-1] < STEPS
    done = call(TRAIN, *line)
    assert done.returncode == 0, done.stderr
    assert_same_end(whole, broken)
    counts = [t for name, t in tensors_of(whole).items() if name.endswith("/steps")]
    assert len(torch.cat([count.flatten() for count in counts]).unique()) > 1

    # A finished run started again does nothing, and says that it is done.
    before = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    again = call(TRAIN, *line)
    assert again.returncode == 0, again.stderr
    after = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    assert [
        path for path in after if path.name not in WATCHED and before.get(path) != after[path]
    ] == []
    assert set(before) == set(after)


@pytest.mark.parametrize("patience", ["null", 1], ids=["all steps", "early stopping"])
def test_killed_between_the_last_evaluation_and_its_save(
    data: Path, tmp_path: Path, patience: object
) -> None:
    """The evaluation is done again, and is told once. A run that stops early has evaluated its
    last step before."""
    settings = {**SETTINGS, "max_steps": 20, "evaluation__every_steps": 5}
    # Nothing is ever better by 2: the second evaluation is the last one.
    settings |= {"early_stopping__patience": patience, "early_stopping__min_delta": 2}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_here(data, whole, **settings)

    class Killed(BaseException):
        pass

    def kill(trainer: Trainer) -> None:
        real = trainer.saving.save_last

        def save_last() -> None:
            if any("eval/count" in line for line in metrics_of(broken)[-1:]):
                raise Killed
            real()

        trainer.saving.save_last = save_last  # type: ignore[method-assign]

    with pytest.raises(Killed):
        train_here(data, broken, kill, **settings)
    assert metrics_of(broken) == metrics_of(whole)
    for _ in range(2):
        train_here(data, broken, **settings)
        assert metrics_of(broken) == metrics_of(whole)


@pytest.mark.slow
def test_asked_to_stop_it_saves_says_how_to_go_on_and_ends_the_same(
    data: Path, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_here(data, whole, **SETTINGS)
    process = Program(TRAIN, *arguments(data, stopped, resume="never", **SETTINGS))
    wait_until(lambda: any(step >= 20 for step in saved_steps(stopped)), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    (message,) = stop_lines(err)
    assert "SIGTERM" in message
    assert "Traceback" not in err
    last = saved_steps(stopped)[-1]
    assert f"after step {last}" in message
    # The command it tells goes on, although the one that was typed asked to begin anew.
    command = shlex.split(message.split("Continue with: ")[1])
    assert command[:3] == ["python", "-m", "hrm_scale.train"]
    done = call(TRAIN, *command[3:])
    assert done.returncode == 0, done.stderr
    assert_same_end(whole, stopped)


@pytest.mark.slow
def test_a_stop_file_stops_the_run_once(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = {**SETTINGS, "max_steps": 400, "evaluation__every_steps": "null"}
    line = arguments(data, run, **settings)
    process = Program(TRAIN, *line)
    wait_until(lambda: bool(saved_steps(run)), process)
    (run / "STOP").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "file STOP in the run folder" in err
    assert not (run / "STOP").exists()


@pytest.fixture
def halfway(data: Path, tmp_path: Path) -> Path:
    """A run that ended at step 20 of what will be 30, with checkpoints 10 and 20."""
    run = tmp_path / "run"
    train_here(data, run, **{**HALFWAY, "max_steps": 20})
    assert saved_steps(run) == [10, 20]
    return run


def more(data: Path, run: Path, **changes: Any) -> Any:
    return call(TRAIN, *arguments(data, run, **{**HALFWAY, "max_steps": 30, **changes}))


def assert_refused(done: Any, code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    (message,) = error_lines(done.stderr)
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in message


@pytest.mark.slow
def test_resume_never_and_must(data: Path, halfway: Path, tmp_path: Path) -> None:
    before = saved_steps(halfway)
    assert_refused(more(data, halfway, resume="never"), 4, "resume=never", "step-00000020")
    assert saved_steps(halfway) == before
    empty = tmp_path / "empty"
    assert_refused(more(data, empty, resume="must"), 4, "resume=must", str(empty))
