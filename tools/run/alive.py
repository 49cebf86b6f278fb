"""Whether a process works in a run folder, and on what: its lock and its heartbeat.

The lock is the proof on the machine of the process, and on file systems that share locks between
machines. Elsewhere the age of `heartbeat.json` decides, which the process renews every 5 seconds.
On the machine of the process ages are measured by its monotonic clock, so that nobody who sets the
time of day makes a stall or hides one; elsewhere by the time of day.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_scale.base.machine import seconds_since
from hrm_scale.base.untrusted import read_bytes

from .history import Events, number_of, text_of

LOCK = ".lock"
HEARTBEAT = "heartbeat.json"
ENDED = "ended"  # the last phase, unless the process is killed
# Twelve heartbeats: machines with clocks a little apart and slow network folders are no alarm.
FRESH_SECONDS = 60.0
STALL_SECONDS = 300.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Heartbeat:
    """`heartbeat.json`; times in seconds since 1970, None where it does not say.

    moment: the `boot_clock` of `time`, empty in those of earlier releases.
    """

    time: float
    progress_time: float
    host: str
    pid: int | None
    started: float | None
    step: int | None
    total_steps: int | None
    phase: str
    eta_seconds: float | None
    moment: dict[str, Any]

    def age(self, now: float) -> float:
        """Seconds since it was written; `now` is the time of day, for those of other machines."""
        passed = seconds_since(self.moment)
        return max(now - self.time, 0.0) if passed is None else passed


@dataclass(frozen=True)
class Life:
    """alive: a process holds the run. phase: what it does. quiet_seconds: since its last progress,
    None when unknown. current: the heartbeat is that of the last process to take the run."""

    alive: bool
    phase: str
    quiet_seconds: float | None
    current: bool


def read_heartbeat(run_dir: Path) -> Heartbeat | None:
    """The heartbeat, or None when there is none that can be understood."""
    record = _record(run_dir / HEARTBEAT)
    if record is None or (beat := number_of(record, "time")) is None:
        return None
    progress = number_of(record, "progress_time")
    return Heartbeat(
        time=beat,
        progress_time=beat if progress is None else progress,
        host=text_of(record, "host"),
        pid=_whole(record, "pid"),
        started=number_of(record, "started"),
        step=_whole(record, "step"),
        total_steps=_whole(record, "total_steps"),
        phase=text_of(record, "phase"),
        eta_seconds=number_of(record, "eta_seconds"),
        moment=_moment(record),
    )


def look(run_dir: Path, heartbeat: Heartbeat | None, events: Events, now: float) -> Life:
    """Whether the run is alive at `now` (seconds since 1970), and what is known of its progress."""
    taken, moment = _modified(run_dir / LOCK), _taken_moment(run_dir / LOCK)
    current = heartbeat is not None and _is_of_the_holder(heartbeat, moment, taken)
    if not _is_alive(run_dir, heartbeat, events, now):
        return Life(False, "", None, current)
    if heartbeat is not None and current:
        phase = "ending" if heartbeat.phase == ENDED else heartbeat.phase
        quiet = heartbeat.age(now) + heartbeat.time - heartbeat.progress_time
        return Life(True, phase, max(quiet, 0.0), True)
    if (passed := seconds_since(moment)) is not None:
        return Life(True, "" if heartbeat is None else "starting", passed, False)
    marks = [taken, *(_modified(run_dir / name) for name in ("metrics.jsonl", "log.txt"))]
    known = [mark for mark in marks if mark is not None]
    since = max(now - max(known), 0.0) if known else None
    return Life(True, "" if heartbeat is None else "starting", since, False)


def _is_of_the_holder(heartbeat: Heartbeat, moment: dict[str, Any], taken: float | None) -> bool:
    """Whether the process that took the lock last wrote the heartbeat, and not one before it."""
    if moment and moment["boot_id"] == heartbeat.moment.get("boot_id"):
        return bool(heartbeat.moment["monotonic"] >= moment["monotonic"])
    return taken is None or heartbeat.time >= taken - 1.0


def _is_alive(run_dir: Path, heartbeat: Heartbeat | None, events: Events, now: float) -> bool:
    held = _lock_is_held(run_dir / LOCK)
    if held:
        return True
    if heartbeat is None or heartbeat.phase == ENDED or _has_ended(events, heartbeat):
        return False
    if heartbeat.age(now) > FRESH_SECONDS:
        return False
    if heartbeat.host != socket.gethostname():
        return True
    # Here the lock would tell, unless this file system has none.
    return held is None and heartbeat.pid is not None and _process_exists(heartbeat.pid)


def _has_ended(events: Events, heartbeat: Heartbeat) -> bool:
    ended = None if events.end is None else number_of(events.end, "time")
    return ended is not None and (heartbeat.started is None or ended >= heartbeat.started)


def _lock_is_held(path: Path) -> bool | None:
    """None when this system or file system cannot tell."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _record(path: Path) -> dict[str, Any] | None:
    """The JSON object in a small file; None when there is none."""
    try:
        record: Any = json.loads(read_bytes(path, _MOST_BYTES, links=True))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _taken_moment(lock: Path) -> dict[str, Any]:
    """When the lock was taken last, as `Heartbeat.moment`."""
    with suppress(OSError):
        return _moment(_record(lock) or {})
    return {}


def _moment(record: dict[str, Any]) -> dict[str, Any]:
    """The `boot_clock` in a record; empty when it has none."""
    at, boot = number_of(record, "monotonic"), text_of(record, "boot_id")
    return {} if at is None or not boot else {"boot_id": boot, "monotonic": at}


def _modified(path: Path) -> float | None:
    with suppress(OSError):
        return path.stat().st_mtime
    return None


def _whole(record: dict[str, Any], name: str) -> int | None:
    value = number_of(record, name)
    return None if value is None else int(value)
