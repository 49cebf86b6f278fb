"""What must hold of a run that is killed, checked while it lives and after it died."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from benchmarks.reliability.moments import Moment, Pace
from benchmarks.reliability.victim import Victim
from hrm_scale.checkpoint import latest_valid

_PATIENCE = 600.0


class NotSurvived(AssertionError):
    """What a kill has broken."""


def wait_for(victim: Victim, moment: Moment, pace: Pace, resumed: int, total: int) -> bool:
    """Wait until the moment has come; False when the process ended before."""
    due: float | None = None
    while victim.look():
        if due is None and moment.has_come(victim, resumed, total):
            due = (0.0 if moment.kind == "start" else victim.age) + moment.delay(pace)
        if due is not None and (victim.age >= due or moment.is_over(victim)):
            return True
        _check_patience(victim)
    return False


def wait_for_end(victim: Victim) -> None:
    """Wait until it ends by itself."""
    try:
        while victim.look():
            _check_patience(victim)
    finally:
        if victim.process.poll() is None:
            victim.kill(None)
    check_end(victim)


def _check_patience(victim: Victim) -> None:
    if victim.age > _PATIENCE:
        victim.kill(None)
        raise NotSurvived(f"nothing for {_PATIENCE:.0f} s, see {victim.log}:\n{victim.tail()}")


def check_end(victim: Victim) -> None:
    if code := victim.process.returncode:
        raise NotSurvived(f"exit status {code} by itself, see {victim.log}:\n{victim.tail()}")


def check_gone(victim: Victim) -> None:
    """Nothing that it started outlives it."""
    _, left = psutil.wait_procs(victim.alive(), timeout=30)
    if left:
        victim.sweep()
        raise NotSurvived(f"left behind: {left[0]}, see {victim.log}")


def check_resumed(victim: Victim, newest: int) -> None:
    said = victim.resumed
    if said is not None and said != newest:
        raise NotSurvived(
            f"resumed at step {said}, but step {newest} was valid, see {victim.log}:"
            f"\n{victim.tail()}"
        )


def check_valid(run: Path, least: int, victim: Victim) -> int:
    """The newest step whose checkpoint is valid; it must be one of `least` or later."""
    found, refusals = latest_valid(run)
    # A folder that stepped aside for its replacement counts as well.
    step = -1 if found is None else json.loads((found / "manifest.json").read_text())["step"]
    if step < least:
        raise NotSurvived(
            f"step {least} was valid, now {found} is the newest ({'; '.join(refusals)}),"
            f" see {victim.log}"
        )
    return int(step)
