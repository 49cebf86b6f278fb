"""A process that dies before, and after, every single thing a save does to the disk.

Each child is a real process that kills itself (SIGKILL) at the n-th of its calls that open, write
through, rename, link or delete. Whatever n: what was valid stays valid, and the next save works.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hrm_scale.checkpoint import BackgroundSaves, CheckpointManager, latest_valid, read_checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

# Python announces these before they are done; what comes after one is what comes before the next.
ANNOUNCED = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate"}


def parts(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {"model": {"w": torch.full((50,), value)}, "optimizer": {"m": torch.full((5,), value)}}


def save(run: Path, step: int, value: float, background: bool, best: bool) -> None:
    manager = CheckpointManager(run, keep_last=1)
    if not background:
        manager.save(step, parts(value), {"samples": step}, {}, best=best)
        return
    saves = BackgroundSaves(manager)
    saves.start(step, parts(value), {"samples": step}, {}, best=best)
    failure = saves.collect(wait=True)
    assert failure is None


def die_at(number: int, action: Callable[[], None]) -> bool:
    """Do it in a child that kills itself at its n-th stage; whether it got that far."""
    child = os.fork()
    if child == 0:
        _count_to(number)
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0
    return False


def _count_to(number: int) -> None:
    """In the child: from here on count stages, and die at the given one."""
    seen = 0

    def stage() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in ANNOUNCED or writes:
            stage()

    real = os.fsync

    def fsync(descriptor: int) -> None:  # not announced: before it, and after it
        stage()
        real(descriptor)
        stage()

    os.fsync = fsync
    sys.addaudithook(heard)


def value_of(path: Path) -> float:
    return float(read_checkpoint(path).part("model")["w"][0])


@pytest.mark.parametrize("background", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", ["next step", "same step", "first save", "new best"])
def test_no_moment_of_a_save_loses_what_was_saved(
    case: str, background: bool, tmp_path: Path
) -> None:
    number, died = 0, True
    while died:
        number += 1
        died = _one(case, background, tmp_path / f"run{number}", number)
    # Folder, four documents, two parts, manifest, names: less would mean that nothing was counted.
    assert number > 20


def _one(case: str, background: bool, run: Path, number: int) -> bool:
    step = 2 if case == "same step" else 3
    best = case == "new best"
    if case != "first save":
        CheckpointManager(run, 1).save(2, parts(2.0), {"samples": 2}, {}, best=best)
    died = die_at(number, lambda: save(run, step, 9.0, background, best))
    newest, refusals = latest_valid(run)
    assert refusals == [], f"stage {number}"
    if case == "first save" and died:
        assert newest is None or value_of(newest) == 9.0
    else:
        assert newest is not None, f"stage {number}"
        assert value_of(newest) in ((2.0, 9.0) if died else (9.0,)), f"stage {number}"
    marked = run / "checkpoints" / "best"
    if best:
        assert value_of(marked) in (2.0, 9.0), f"stage {number}"
    # The run goes on, and clears away what was left.
    CheckpointManager(run, 1).save(step, parts(7.0), {"samples": step}, {}, best=best)
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == (["best"] if best else []) + [f"step-{step:08d}"], f"stage {number}"
    assert value_of(run) == 7.0
    return died
