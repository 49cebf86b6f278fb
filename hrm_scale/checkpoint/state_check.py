"""What `state.json` and `versions.json` of a checkpoint may say: the one place that knows.

A manifest proves that a file is the one that was listed, not that it makes sense: an editor, or
somebody who means harm, writes a matching manifest too. So every value that a resumed run, an
evaluation or `tools.checkpoint` works with is checked here once, when the checkpoint is opened.
Keys that are not known pass: later versions add some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hrm_scale.base.untrusted import printable
from hrm_scale.checkpoint.manifest import MAX_STEP, brief

# What a value is not, in words; None when it is as it should be.
Check = Callable[[Any], str | None]

_MAX_SIZE = (1 << 31) - 1  # identifiers and tokens are int32 in training
_MAX_SECONDS = 1e12
_MAX_TEXT = 1 << 16
_SHOWN = 200  # characters of a name in a message


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        inside = type(value) is int and low <= value <= high
        return None if inside else f"a whole number from {low} to {high}"

    return check


def _real(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:
        inside = type(value) in (int, float) and low <= value <= high
        return None if inside else f"a number from {low:g} to {high:g}"

    return check


def _sum(value: Any) -> str | None:
    # Sums of losses may be NaN or infinite; whole numbers must fit a float.
    known = type(value) is float or (type(value) is int and abs(value) <= MAX_STEP)
    return None if known else "a number"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and len(value) <= _MAX_TEXT else "text"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _or_null(check: Check) -> Check:
    def optional(value: Any) -> str | None:
        return None if value is None or (wanted := check(value)) is None else f"{wanted}, or null"

    return optional


def _list(check: Check, what: str, count: int | None = None) -> Check:
    def each(value: Any) -> str | None:
        fits = isinstance(value, list) and (count is None or len(value) == count)
        return None if fits and not any(map(check, value)) else f"a list of {what}"

    return each


class _Every:
    """An object of any names whose values all pass one check."""

    def __init__(self, check: Check) -> None:
        self.check = check


Rule = Check | _Every | Mapping[str, Any]

_COUNT = _whole(0, MAX_STEP)
_SIZE = _whole(1, _MAX_SIZE)
_TOKEN = _whole(0, _MAX_SIZE)
_SECONDS = _real(0.0, _MAX_SECONDS)

# As written by training (counters, clock) and by the loader (data).
STATE: Mapping[str, Rule] = {
    "step": _COUNT,
    "samples": _COUNT,
    "sum_steps": _COUNT,
    "evaluated": _COUNT,
    "finished": _COUNT,
    "sums": _Every(_list(_sum, "numbers, one a rank")),
    "command": _text,
    "folder": _text,
    "data": {
        "v": _COUNT,
        "fingerprint": _text,
        "seed": _whole(0, (1 << 63) - 1),
        "window": _or_null(_whole(1, MAX_STEP)),
        "epoch": _COUNT,
        "position": _COUNT,
    },
    "dataset": {
        "kind": _text,
        "storage": _text,
        "vocab_size": _SIZE,
        "seq_len": _SIZE,
        "pad_id": _TOKEN,
        "ignore_label_id": _or_null(_whole(-_MAX_SIZE, _MAX_SIZE)),
        "blank_identifier_id": _TOKEN,
        "num_puzzle_identifiers": _SIZE,
        "board": _Every(_TOKEN),
        "fingerprint": _text,
    },
    "clock": {
        "train": _SECONDS,
        "paused": _Every(_SECONDS),
        "steps": _COUNT,
        "rates": _or_null(_list(_real(1e-9, 1e12), "two numbers above 0", 2)),
        "flops": _real(0.0, 1e36),
        "flops_per_second": _or_null(_real(1e-9, 1e24)),
    },
    "guards": {
        "skipped": _COUNT,
        "rollbacks": _COUNT,
        "recent": _list(_COUNT, "step numbers"),
        "losses": _list(_sum, "numbers"),
        "in_spike": _flag,
    },
    "early_stopping": {
        "metric": _text,
        "best": _or_null(_sum),
        "best_step": _or_null(_COUNT),
        "waited": _COUNT,
    },
}

_GIT: Mapping[str, Rule] = {"commit": _text, "changed": _flag}
VERSIONS: Mapping[str, Rule] = {"python": _text, "packages": _Every(_text), "git": _GIT}


def state_problem(state: Mapping[str, Any], step: int) -> str | None:
    """The first value of `state.json` that is not what it must be, in words; None when all are.

    step: what the manifest says. Missing keys are not a problem here: not every checkpoint is
    one to train on from (`missing_key`).
    """
    if (problem := _problem(state, STATE, "")) is not None:
        return problem
    if state.get("step", step) != step:
        return f"step is {state['step']}, the manifest says {step}"
    for name in ("evaluated", "sum_steps"):
        if state.get(name, 0) > step:
            return f"{name} is {state[name]}, but only {step} steps are done"
    return None


def versions_problem(versions: Mapping[str, Any]) -> str | None:
    """The same for `versions.json`; `git` is null outside of a clone."""
    present = {name: value for name, value in versions.items() if value is not None}
    if (problem := _problem(present, VERSIONS, "")) is not None:
        return problem
    git = present.get("git", {})
    missing = missing_key(git, _GIT) if git else None
    return None if missing is None else f"git.{missing} is missing"


def missing_key(values: Mapping[str, Any], rules: Mapping[str, Rule] = STATE) -> str | None:
    """The first key (dotted) that the rules have and the values lack; None when all are there.

    A value of null has no keys to miss.
    """
    for name, rule in rules.items():
        if name not in values:
            return name
        if isinstance(rule, Mapping) and isinstance(values[name], Mapping):
            inner = missing_key(values[name], rule)
            if inner is not None:
                return f"{name}.{inner}"
    return None


def _problem(values: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str) -> str | None:
    for name, rule in rules.items():
        if name not in values:
            continue
        value, where = values[name], f"{prefix}{name}"
        if isinstance(rule, Mapping | _Every):
            if not isinstance(value, dict):
                return f"{where} is {brief(value)}, expected an object"
            inner = rule if isinstance(rule, Mapping) else dict.fromkeys(value, rule.check)
            if (problem := _problem(value, inner, f"{where}.")) is not None:
                return problem
        elif (wanted := rule(value)) is not None:
            return f"{printable(where, _SHOWN)} is {brief(value)}, expected {wanted}"
    return None
