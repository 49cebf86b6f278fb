"""What `state.json` and `versions.json` of a checkpoint may say: the one place that knows.

A manifest proves that a file is the one that was listed, not that it makes sense: an editor, or
somebody who means harm, writes a matching manifest too. So every value that a resumed run, an
evaluation or `tools.checkpoint` works with is checked here once, when the checkpoint is opened.
Keys that are not known pass: later versions add some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from hrm_scale.base.untrusted import printable
from hrm_scale.checkpoint.manifest import MAX_STEP, brief

_MAX_SIZE = (1 << 31) - 1  # identifiers and tokens are int32 in training
_SHOWN = 200  # characters of a name in a message


def _fits_float(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > MAX_STEP:
        raise ValueError(f"expected a number up to {MAX_STEP}")
    return value


Count = Annotated[int, Field(ge=0, le=MAX_STEP)]
Size = Annotated[int, Field(ge=1, le=_MAX_SIZE)]
Token = Annotated[int, Field(ge=0, le=_MAX_SIZE)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
# Sums of losses may be NaN or infinite; whole numbers must fit a float.
Sum = Annotated[float, BeforeValidator(_fits_float)]
# `str` would refuse the name of a folder that is not UTF-8.
Text = Annotated[InstanceOf[str], Field(max_length=1 << 16)]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True)


class Position(_Document):
    """The loader's state."""

    v: Count
    fingerprint: Text
    seed: Annotated[int, Field(ge=0, lt=1 << 63)]
    window: Annotated[int, Field(ge=1, le=MAX_STEP)] | None
    epoch: Count
    position: Count


class DatasetFacts(_Document):
    """What a model needs to know of the data it was trained on."""

    kind: Text
    storage: Text
    vocab_size: Size
    seq_len: Size
    pad_id: Token
    ignore_label_id: Annotated[int, Field(ge=-_MAX_SIZE, le=_MAX_SIZE)] | None
    blank_identifier_id: Token
    num_puzzle_identifiers: Size
    board: dict[str, Token]
    fingerprint: Text


class Times(_Document):
    """The clock's state."""

    train: Seconds
    paused: dict[str, Seconds]
    steps: Count
    rates: (
        Annotated[
            list[Annotated[float, Field(ge=1e-9, le=1e12)]], Field(min_length=2, max_length=2)
        ]
        | None
    )
    flops: Annotated[float, Field(ge=0, le=1e36)]
    flops_per_second: Annotated[float, Field(ge=1e-9, le=1e24)] | None


class GuardState(_Document):
    skipped: Count
    rollbacks: Count
    recent: list[Count]
    losses: list[Sum]
    in_spike: bool


class Patience(_Document):
    """Early stopping's state."""

    metric: Text
    best: Sum | None
    best_step: Count | None
    waited: Count


class State(_Document):
    """`state.json` as training writes it."""

    step: Count
    samples: Count
    sum_steps: Count
    evaluated: Count
    finished: Count
    sums: dict[str, list[Sum]]
    command: Text
    folder: Text
    data: Position
    dataset: DatasetFacts
    clock: Times
    guards: GuardState
    early_stopping: Patience


class ModelFacts(_Document):
    """What the `config.json` of a model folder says beside its settings."""

    step: Count
    dataset: DatasetFacts


class Git(_Document):
    commit: Text
    changed: bool


class Versions(_Document):
    """`versions.json`; `git` is null outside of a clone."""

    python: Text | None = None
    packages: dict[str, Text] | None = None
    git: Git | None = None


def state_problem(state: Mapping[str, Any], step: int) -> str | None:
    """The first value of `state.json` that is not what it must be, in words; None when all are.

    step: what the manifest says. Missing keys are not a problem here: not every checkpoint is
    one to train on from (`missing_key`).
    """
    problems = _problems(state, State)
    if (problem := next((text for _, text, missing in problems if not missing), None)) is not None:
        return problem
    if state.get("step", step) != step:
        return f"step is {state['step']}, the manifest says {step}"
    for name in ("evaluated", "sum_steps"):
        if state.get(name, 0) > step:
            return f"{name} is {state[name]}, but only {step} steps are done"
    return None


def document_problem(values: Mapping[str, Any], model: type[BaseModel]) -> str | None:
    """The first value of a document that is missing or not what it must be; None when none is."""
    return next((text for _, text, _ in _problems(values, model)), None)


def missing_key(state: Mapping[str, Any]) -> str | None:
    """The first key (dotted) that a `state.json` lacks; None when all are there."""
    return next((where for where, _, missing in _problems(state, State) if missing), None)


def _problems(values: Mapping[str, Any], model: type[BaseModel]) -> Iterator[tuple[str, str, bool]]:
    """(dotted key, what is wrong with it, is it only missing) in the order of the model."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = printable(".".join(map(str, item["loc"])), _SHOWN)
            if item["type"] == "missing":
                yield where, f"{where} is missing", True
                continue
            expected = "expected an object"
            if item["type"] not in ("model_type", "dict_type"):
                expected = item["msg"].replace("Input should be", "expected")
            yield where, f"{where} is {brief(item['input'])}: {expected}", False
