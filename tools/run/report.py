"""The status of runs as text: one run in full, or one row each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from hrm_scale.base.errors import (
    EXIT_CHECKPOINT,
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_ENVIRONMENT,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_NON_FINITE,
    EXIT_OK,
    EXIT_PEER_LOST,
    EXIT_STOPPED,
)
from hrm_scale.base.untrusted import printable
from hrm_scale.reporting.lines import duration

from .status import (
    DIED,
    FAILED,
    FINISHED,
    NEVER_STARTED,
    RUNNING,
    STALLED,
    STOPPED,
    UNKNOWN,
    Status,
)

MEANING = {
    EXIT_OK: "done",
    EXIT_INTERNAL: "an error inside the program",
    EXIT_CONFIG: "a setting that cannot be run",
    EXIT_DATA: "data missing or damaged",
    EXIT_CHECKPOINT: "a checkpoint missing, damaged or not saved",
    EXIT_ENVIRONMENT: "the machine could not do what was asked",
    EXIT_NON_FINITE: "loss or gradient not finite",
    EXIT_PEER_LOST: "another process of the run was lost",
    EXIT_STOPPED: "stopped on request, state saved",
    EXIT_INTERRUPTED: "interrupted by a second Ctrl-C, nothing saved",
}
_WIDTH = 100
_INDENT = 14
_ALIVE = (RUNNING, STALLED)
_GOES_ON = (STOPPED, FAILED, DIED, STALLED)


def as_text(status: Status) -> str:
    """All that is known of one run, a line each."""
    lines = [f"{status.folder}: {_headline(status)}"]
    for name, text in _rows(status):
        label = f"  {name}"
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"{label:<{_INDENT}}",
            subsequent_indent=" " * _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
    for warning in status.last_warnings:
        lines += textwrap.wrap(
            warning, _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * (_INDENT + 2)
        )
    if status.state in _GOES_ON and status.command:
        # Not wrapped: it is there to be copied.
        lines += ["", "To go on:", f"  {status.command}"]
    return "\n".join(map(printable, lines))


def as_table(statuses: Sequence[Status]) -> str:
    """One row a run."""
    header = ("run", "state", "step", "ETA", "ex/s", "best exact", "checkpoint", "restarts", "note")
    names = run_names([Path(status.folder) for status in statuses])
    runs = zip(names, statuses, strict=True)
    rows = [header, *(tuple(map(printable, _cells(name, status))) for name, status in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header) - 1)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    )


def run_names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many parents as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for own in parts:
        others = {other for other in parts if other != own}
        count = 1
        while count < len(own) and any(other[-count:] == own[-count:] for other in others):
            count += 1
        names.append("/".join(own[-count:]))
    return names


def _headline(status: Status) -> str:
    state = status.state
    if state == STALLED and status.quiet_seconds is not None:
        return f"stalled, alive but no progress for {duration(status.quiet_seconds)}"
    if state == DIED:
        return "died, no process is alive and no end was recorded (killed, or the power went)"
    if state == NEVER_STARTED:
        return "never started"
    if state == UNKNOWN:
        return "not running; how it ended was not recorded (no events.jsonl)"
    if status.exit_code is not None and state in (FAILED, STOPPED):
        meaning = MEANING.get(status.exit_code, "not a status of this program")
        return f"{state}, exit status {status.exit_code} ({meaning})"
    return f"{state}, {status.phase}" if status.phase else state


def _rows(status: Status) -> list[tuple[str, str]]:
    rows = [("progress", _progress(status))]
    if status.eta_seconds is not None:
        later = "" if status.state in _ALIVE else ", once it goes on"
        rows.append(("time left", f"about {duration(status.eta_seconds)}{later}"))
    if status.examples_per_second is not None:
        rows.append(("speed", f"{status.examples_per_second:.0f} examples/s"))
    if status.state in _ALIVE:
        quiet = "" if status.quiet_seconds is None else _ago(status.quiet_seconds)
        where = f", process {status.pid} on {status.host}" if status.pid and status.host else ""
        count = status.processes or 1
        more = f", {count} processes" if count > 1 else ""
        rows.append(("alive", f"last progress {quiet or 'unknown'}{where}{more}"))
    if status.state == STALLED and status.stacks:
        rows.append(("stacks", f"{status.stacks}: what each process was doing"))
    rows.append(("checkpoint", _checkpoint(status)))
    if status.best_exact_accuracy is not None:
        rows.append(("best", _best(status)))
    if status.restarts is not None:
        text = f"{status.restarts}"
        if status.rollbacks:
            text += f"; rollbacks: {status.rollbacks}, {status.last_rollback}"
        rows.append(("restarts", text))
    if status.skipped_steps:
        rows.append(("skipped", f"{status.skipped_steps} steps, not finite"))
    if status.exit_code is not None:
        ago = "" if status.ended_seconds_ago is None else f"{_ago(status.ended_seconds_ago)}: "
        text = status.ended or MEANING.get(status.exit_code, "")
        if status.command:  # has a place of its own below
            text = text.partition(" Continue with: ")[0]
        rows.append(("ended", f"{ago}{text}"))
    shown = len(status.last_warnings)
    note = f", the last {shown}:" if status.warnings > shown else ":" if shown else ""
    rows.append(("warnings", f"{status.warnings}{note}"))
    return rows


def _progress(status: Status) -> str:
    if status.step is None:
        return "no step known"
    if status.total_steps is None:
        return f"step {status.step}"
    return f"step {status.step} of {status.total_steps} ({_percent(status)})"


def _percent(status: Status) -> str:
    if status.step is None or not status.total_steps:
        return ""
    # Rounded down: 100 % is said of what is complete.
    return f"{100 * status.step // status.total_steps} %"


def _checkpoint(status: Status) -> str:
    saved = status.checkpoint
    if saved is None:
        return "none"
    age = "" if saved.age_seconds is None else f", saved {_ago(saved.age_seconds)}"
    if saved.problem is None:
        return f"{saved.name}{age}, sizes agree"
    instead = f"the newest usable one is {saved.usable}" if saved.usable else "no other is usable"
    return f"{saved.name}{age}, NOT VALID: {saved.problem}; {instead}"


def _best(status: Status) -> str:
    assert status.best_exact_accuracy is not None
    text = f"exact accuracy {status.best_exact_accuracy:.4f} at step {status.best_step}"
    if status.best_checkpoint:
        text += f" (checkpoints/best is {status.best_checkpoint})"
    if status.latest_evaluation_step != status.best_step:
        text += f"; {status.latest_exact_accuracy:.4f} at step {status.latest_evaluation_step}"
    return text


def _cells(name: str, status: Status) -> tuple[str, ...]:
    progress = "-" if status.step is None else f"{status.step}"
    if status.total_steps:
        progress += f"/{status.total_steps} ({_percent(status)})"
    state = status.state
    if status.exit_code and state == FAILED:
        state += f" ({status.exit_code})"
    saved = status.checkpoint
    best = status.best_exact_accuracy
    left = status.eta_seconds if status.state in _ALIVE else None
    return (
        name,
        state,
        progress,
        "-" if left is None else duration(left),
        "-" if status.examples_per_second is None else f"{status.examples_per_second:.0f}",
        "-" if best is None else f"{best:.4f} @{status.best_step}",
        "-" if saved is None else saved.name if saved.problem is None else f"{saved.name} DAMAGED",
        "-" if status.restarts is None else f"{status.restarts}",
        _note(status),
    )


def _note(status: Status) -> str:
    if status.phase:
        return status.phase
    text = "" if status.state == FINISHED else status.ended
    return textwrap.shorten(text, 60, placeholder=" ...")


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"
