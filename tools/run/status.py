"""How a run stands: everything that its folder tells, put together as one record."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import EXIT_OK, EXIT_STOPPED, ConfigError
from hrm_scale.checkpoint.best import best_checkpoint
from hrm_scale.checkpoint.discovery import FOLDER, candidates, refusal, runs_here
from hrm_scale.checkpoint.manifest import MANIFEST

from .alive import ENDED, HEARTBEAT, LOCK, STALL_SECONDS, Heartbeat, Life, look, read_heartbeat
from .history import (
    EVENTS,
    LOG,
    METRICS,
    Events,
    number_of,
    read_events,
    read_metrics,
    text_of,
    total_steps_logged,
)

CONFIG = "config.yaml"
SKIPPED = "guard/skipped"
STACKS = "stacks"
_MARKS = (METRICS, EVENTS, HEARTBEAT, LOG, FOLDER, CONFIG, LOCK)

RUNNING, STALLED, FINISHED, STOPPED = "running", "stalled", "finished", "stopped"
FAILED, DIED, NEVER_STARTED, UNKNOWN = "failed", "died", "never started", "unknown"

# The exit status of `status`: of several runs the first of these that any of them has.
EXIT_ATTENTION = 1
EXIT_OF_STATE = {
    STALLED: EXIT_ATTENTION,
    FAILED: EXIT_ATTENTION,
    DIED: EXIT_ATTENTION,
    NEVER_STARTED: EXIT_ATTENTION,
    UNKNOWN: EXIT_ATTENTION,
    STOPPED: EXIT_STOPPED,
    RUNNING: EXIT_OK,
    FINISHED: EXIT_OK,
}


@dataclass(frozen=True)
class Saved:
    """The newest checkpoint. problem: why it cannot be used, found by size; `usable` is the newest
    one that can, which is the same when there is no problem."""

    name: str
    step: int
    age_seconds: float | None
    problem: str | None
    usable: str | None


@dataclass(frozen=True)
class Status:
    """One run. None is what its folder does not tell. Times in seconds, accuracies 0 to 1."""

    folder: str
    state: str
    phase: str
    step: int | None
    total_steps: int | None
    eta_seconds: float | None
    examples_per_second: float | None
    quiet_seconds: float | None
    stacks: str | None
    host: str
    pid: int | None
    processes: int | None
    checkpoint: Saved | None
    best_exact_accuracy: float | None
    best_step: int | None
    best_checkpoint: str | None
    latest_exact_accuracy: float | None
    latest_evaluation_step: int | None
    restarts: int | None
    rollbacks: int
    last_rollback: str
    skipped_steps: int | None
    warnings: int
    last_warnings: tuple[str, ...]
    exit_code: int | None
    ended: str
    ended_seconds_ago: float | None
    command: str


def examine(run_dir: Path) -> Status:
    """The status of the run in `run_dir`. Raises ConfigError when that is not a run folder."""
    require_run(run_dir)
    now = time.time()
    # The heartbeat before the lock: a run that ends in between is then seen as ended.
    heartbeat, events = read_heartbeat(run_dir), read_events(run_dir)
    life, metrics = look(run_dir, heartbeat, events, now), read_metrics(run_dir)
    saved = _saved(run_dir, now)
    start = events.starts[-1] if events.starts else {}
    beat = heartbeat if life.current or not events.starts else None
    steps = [metrics.step, number_of(start, "step"), saved.step if saved else None]
    # Before its first step a process that goes on says 0.
    reached = (beat.step if beat else None) or _largest(steps)
    totals = [
        beat.total_steps if beat else None,
        number_of(start, "total_steps"),
        total_steps_logged(run_dir),
    ]
    state = _state(life, events, heartbeat, reached)
    eta = beat.eta_seconds if beat else None
    if eta is None:
        eta = number_of(metrics.last_train, "perf/eta_seconds")
    ended = events.end or {}
    ended_ago = _ended_ago(number_of(ended, "time"), beat, now)
    best = metrics.best or (None, None)
    latest = metrics.latest or (None, None)
    return Status(
        folder=str(run_dir),
        state=state,
        phase=life.phase,
        step=None if reached is None else int(reached),
        total_steps=next((int(total) for total in totals if total is not None), None),
        eta_seconds=None if state == FINISHED else eta,
        examples_per_second=number_of(metrics.last_train, "perf/examples_per_second"),
        quiet_seconds=life.quiet_seconds,
        stacks=str(run_dir / STACKS) if (run_dir / STACKS).is_dir() else None,
        host=beat.host if beat else text_of(start, "host"),
        pid=beat.pid if beat else _whole(start, "pid"),
        processes=_whole(start, "processes"),
        checkpoint=saved,
        best_exact_accuracy=best[0],
        best_step=best[1],
        best_checkpoint=_best_name(run_dir),
        latest_exact_accuracy=latest[0],
        latest_evaluation_step=latest[1],
        restarts=len(events.starts) - 1 if events.starts else None,
        rollbacks=len(events.rollbacks),
        last_rollback=_rollback(events),
        skipped_steps=_whole(metrics.last_train, SKIPPED),
        warnings=events.warnings,
        last_warnings=tuple(_warning(record) for record in events.last_warnings),
        exit_code=_whole(ended, "exit_code"),
        ended=text_of(ended, "text"),
        ended_seconds_ago=ended_ago,
        command=_command(run_dir, saved),
    )


def require_run(run_dir: Path) -> None:
    """Raises ConfigError, one line with what was expected, when that is not the folder of a run."""
    if not run_dir.exists():
        raise ConfigError(
            f"RUN_DIR {run_dir} does not exist: give the folder of a run, as its line"
            f" `run folder` names it (checkpoint_path=...); {runs_here()}"
        )
    if not run_dir.is_dir():
        raise ConfigError(f"RUN_DIR {run_dir} is a file: give the folder of a run")
    if any((run_dir / mark).exists() for mark in _MARKS):
        return
    inside = "is empty"
    if any(run_dir.iterdir()):
        inside = "is not the folder of a run"
    if (run_dir / MANIFEST).exists():
        inside = "is a checkpoint"
    raise ConfigError(
        f"RUN_DIR {run_dir} {inside}: expected a folder with {METRICS}, {EVENTS} or {FOLDER}/,"
        " as `python -m hrm_scale.train` makes it"
    )


def _state(
    life: Life,
    events: Events,
    heartbeat: Heartbeat | None,
    reached: float | None,
) -> str:
    if life.alive:
        stalled = life.quiet_seconds is not None and life.quiet_seconds > STALL_SECONDS
        return STALLED if stalled else RUNNING
    if events.end is not None:
        code = number_of(events.end, "exit_code")
        return FINISHED if code == EXIT_OK else STOPPED if code == EXIT_STOPPED else FAILED
    if events.starts:
        return DIED
    if heartbeat is not None:
        return DIED
    return NEVER_STARTED if reached is None else UNKNOWN


def _ended_ago(ended: float | None, heartbeat: Heartbeat | None, now: float) -> float | None:
    """Seconds since the event of the end; its last heartbeat, a moment before, knows better where
    the time of day was set."""
    if ended is None:
        return None
    if heartbeat is not None and heartbeat.phase == ENDED:
        return heartbeat.age(now)
    return max(now - ended, 0.0)


def _saved(run_dir: Path, now: float) -> Saved | None:
    """Sizes are compared, hashes are not: a large checkpoint would take minutes."""
    newest: tuple[int, Path, str | None] | None = None
    usable: Path | None = None
    for step, folder in candidates(run_dir):
        problem = refusal(step, folder, hashes=False)
        if not folder.is_dir():
            continue  # deleted by the run meanwhile
        newest = newest or (step, folder, problem)
        if problem is None:
            usable = folder
            break
    if newest is None:
        return None
    step, folder, problem = newest
    age = None
    with suppress(OSError):
        age = max(now - (folder / MANIFEST).stat().st_mtime, 0.0)
    problem = None if problem is None else problem.removeprefix(f"{folder}: ")
    return Saved(folder.name, step, age, problem, usable.name if usable else None)


def _best_name(run_dir: Path) -> str | None:
    folder = best_checkpoint(run_dir)
    return folder.name if folder else None


def _command(run_dir: Path, saved: Saved | None) -> str:
    """What to type to go on, as the newest usable checkpoint says."""
    if saved is None or saved.usable is None:
        return ""
    with suppress(OSError, ValueError, RecursionError):
        state: Any = json.loads((run_dir / FOLDER / saved.usable / "state.json").read_bytes())
        if isinstance(state, dict):
            return text_of(state, "command")
    return ""


def _rollback(events: Events) -> str:
    if not events.rollbacks:
        return ""
    last = events.rollbacks[-1]
    gone = number_of(last, "from_step")
    came = "" if gone is None else f" from step {gone:.0f}"
    return f"the last one{came} to step {last['step']:.0f}"


def _warning(record: dict[str, Any]) -> str:
    first = {"text": str(record.get("text", "")).partition("\n")[0]}
    when = ""
    with suppress(OverflowError, OSError, ValueError):
        if (at := number_of(record, "time")) is not None:
            when = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC, "
    return f"{when}step {record['step']:.0f}: {text_of(first, 'text')}"


def _whole(record: dict[str, Any], name: str) -> int | None:
    value = number_of(record, name)
    return None if value is None else int(value)


def _largest(values: list[Any]) -> float | None:
    return max((value for value in values if value is not None), default=None)
