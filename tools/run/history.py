"""What a run folder tells about a run's past: `metrics.jsonl`, `events.jsonl`, end of `log.txt`.

Files are read as they are found: while a run writes them, after a kill, after a full disk. Lines
that are torn or damaged are passed over, and nothing is read into memory as a whole.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import open_regular, printable

METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
LOG = "log.txt"
BEST_METRIC = "eval/exact_accuracy"
# A line of metrics has some kilobytes; after a power failure there may be gigabytes of zeros.
_MAX_LINE = 1 << 20
_LOG_TAIL = 1 << 16
_STEP_OF = re.compile(r"^step \d+/(\d+) \|", re.MULTILINE)


def open_file(path: Path) -> BufferedReader | None:
    """A file of a run folder, None when it is not there. Raises DataError for a folder or pipe."""
    try:
        return open_regular(path, links=True)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} {error}: move it away") from None


def lines_of(path: Path) -> Iterator[bytes]:
    """Whole lines of a file that may not exist, one at a time; endless ones are left out."""
    if (stream := open_file(path)) is None:
        return
    with stream:
        whole = True
        while line := stream.readline(_MAX_LINE):
            ends = line.endswith(b"\n")
            if whole and ends:
                yield line
            whole = ends


def record_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line that has a step; None for anything else."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(record, dict) and _is_number(record.get("step")):
        return record
    return None


def number_of(record: dict[str, Any], name: str) -> float | None:
    """A finite number under `name`, or None."""
    value: Any = record.get(name)
    return float(value) if _is_number(value) else None


def text_of(record: dict[str, Any], name: str) -> str:
    """A text under `name`, or an empty one; on one line, fit for a terminal."""
    value = record.get(name)
    return printable(value) if isinstance(value, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass
class Metrics:
    """The last and the best of `metrics.jsonl`."""

    step: int | None = None
    last_train: dict[str, Any] = field(default_factory=dict)
    best: tuple[float, int] | None = None  # exact accuracy, 0 to 1, and its step
    latest: tuple[float, int] | None = None


def read_metrics(run_dir: Path) -> Metrics:
    """A pass over all lines; only evaluations and the last training line are parsed."""
    found = Metrics()
    last_train = last = b""
    for line in lines_of(run_dir / METRICS):
        last = line
        if b'"train/' in line:
            last_train = line
        if BEST_METRIC.encode() not in line or (record := record_of(line)) is None:
            continue
        value = number_of(record, BEST_METRIC)
        if value is not None:
            found.latest = (value, int(record["step"]))
            if found.best is None or value > found.best[0]:
                found.best = found.latest
    found.last_train = record_of(last_train) or {}
    steps = [record["step"] for line in (last_train, last) if (record := record_of(line))]
    found.step = int(max(steps)) if steps else None
    return found


@dataclass
class Events:
    """What `events.jsonl` has recorded, in its order."""

    starts: list[dict[str, Any]] = field(default_factory=list)
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    warnings: int = 0
    last_warnings: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None  # of the last start, when it has ended


def read_events(run_dir: Path) -> Events:
    """All events; of the warnings only the last three."""
    found = Events()
    for line in lines_of(run_dir / EVENTS):
        record = record_of(line)
        kind = None if record is None else record.get("event")
        if record is None:
            continue
        if kind == "start":
            found.starts.append(record)
            found.end = None
        elif kind == "rollback":
            found.rollbacks.append(record)
        elif kind == "warning":
            found.warnings += 1
            found.last_warnings = [*found.last_warnings, record][-3:]
        elif kind == "end":
            found.end = record
    return found


def total_steps_logged(run_dir: Path) -> int | None:
    """The number of steps of the whole run, as the last lines of `log.txt` have it."""
    if (stream := open_file(run_dir / LOG)) is None:
        return None
    with stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - _LOG_TAIL, 0))
        text = stream.read(_LOG_TAIL).decode("utf-8", "replace")
    totals = _STEP_OF.findall(text)
    return int(totals[-1]) if totals else None
