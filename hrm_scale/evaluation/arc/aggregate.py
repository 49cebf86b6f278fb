"""Votes of earlier evaluations of a run, kept in files and added to those of a later one.

`aggregated_voting` of the published TRM evaluator: the candidates at a step are ranked by the votes
of all evaluations up to it, an ensemble of checkpoints. Without it each evaluation stands alone.

`votes-STEP.jsonl.zst` is JSON lines in one zstd frame: what it is, then a task a line. The same
votes give the same bytes (with the same zstd library).
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zstandard

from hrm_scale.base.errors import DataError
from hrm_scale.base.files import replace_file
from hrm_scale.base.untrusted import open_regular, parse_json
from hrm_scale.evaluation.arc.grid_text import is_grid_text
from hrm_scale.evaluation.arc.task_votes import (
    MOST_CANDIDATES,
    Candidate,
    PairVotes,
    TaskVotes,
    add_votes,
    rank,
)

_VERSION = 1
_NAME = re.compile(r"votes-([0-9]{9,18})\.jsonl\.zst")
_MOST_LINE, _MOST_BYTES, _MOST_WINDOW = 64 << 20, 4 << 30, 1 << 27
_REMOVE = "remove it, the evaluation it is from can be made again"


def votes_file(folder: Path, step: int) -> Path:
    """Where the votes of the evaluation at a step are kept."""
    return folder / f"votes-{step:09d}.jsonl.zst"


def write_votes(folder: Path, step: int, fingerprint: str, votes: Sequence[TaskVotes]) -> Path:
    """Keep the votes of one evaluation, in place of those of the same step. Curves are not kept.

    fingerprint: of the data set. The file is there as a whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = votes_file(folder, step)
    replace_file(path, _compressed(_lines(step, fingerprint, votes)))
    return path


def read_votes(path: Path, fingerprint: str) -> list[TaskVotes]:
    """The votes in a file. DataError when it is damaged, foreign, or of another data set."""
    match = _NAME.fullmatch(path.name)
    try:
        lines = _read_lines(path)
        first = next(lines, None)
        header = first if isinstance(first, dict) else {}
        if match is None or (header.get("votes"), header.get("step")) != (_VERSION, int(match[1])):
            raise ValueError("is no file of votes of this name")
        if header.get("fingerprint") != fingerprint:
            raise ValueError("holds votes for another data set")
        votes = [_task(line) for line in lines]
        if header.get("tasks") != len(votes) or len({task.name for task in votes}) < len(votes):
            raise ValueError(f"does not hold each of {header.get('tasks')} tasks once")
        return votes
    except (OSError, ValueError, zstandard.ZstdError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:200]}: {_REMOVE}") from error


def earlier_files(folder: Path, step: int) -> list[Path]:
    """The files of evaluations before a step, the earliest first."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), path) for path in folder.iterdir() if (m := _NAME.fullmatch(path.name))]
    return [path for at, path in sorted(found) if at < step]


def with_earlier(
    folder: Path, step: int, fingerprint: str, votes: Sequence[TaskVotes]
) -> list[TaskVotes]:
    """The votes of an evaluation at `step` with those of all earlier ones in the folder added.

    Tasks that an earlier evaluation did not ask have fewer votes; those that this one did not ask
    are left out. DataError as `read_votes`, and for a task whose answers have changed.
    """
    same: dict[str, list[TaskVotes]] = {task.name: [] for task in votes}
    for path in earlier_files(folder, step):
        for task in read_votes(path, fingerprint):
            if task.name in same:
                same[task.name].append(task)
    try:
        return [add_votes([*same[task.name], task]) if same[task.name] else task for task in votes]
    except ValueError as error:
        raise DataError(f"{folder}: {error}: {_REMOVE}") from error


def task_line(task: TaskVotes) -> bytes:
    """A task's votes as one line of JSON; equal lines are equal votes."""
    content = {"task": task.name, "pairs": [_pair_json(pair) for pair in task.pairs]}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def _pair_json(pair: PairVotes) -> dict[str, Any]:
    return {
        "answer": None if pair.answer is None else pair.answer.decode(),
        "votes": pair.votes,
        "distinct": pair.distinct,
        "right": pair.right,
        "candidates": [[c.text.decode(), *c[1:]] for c in pair.candidates()],
    }


def _lines(step: int, fingerprint: str, votes: Sequence[TaskVotes]) -> Iterator[bytes]:
    header = {"votes": _VERSION, "step": step, "fingerprint": fingerprint, "tasks": len(votes)}
    yield json.dumps(header, separators=(",", ":")).encode() + b"\n"
    yield from map(task_line, votes)


def _compressed(lines: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=9, write_checksum=True).compressobj()
    for line in lines:
        yield compressor.compress(line)
    yield compressor.flush()


def _read_lines(path: Path) -> Iterator[Any]:
    """The values in the lines of a file, one at a time. ValueError for lines beyond the limits."""
    with open_regular(path) as stream:
        unpacked = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW).stream_reader(stream)
        lines, left = io.BufferedReader(unpacked), _MOST_BYTES
        while line := lines.readline(min(_MOST_LINE, left)):
            left -= len(line)
            if not line.endswith(b"\n"):
                raise ValueError("ends in the middle of a line, or has one that is too long")
            yield parse_json(line)


def _task(line: Any) -> TaskVotes:
    """ValueError for a line that `task_line` cannot have made."""
    try:
        if not isinstance(line["task"], str) or not line["pairs"]:
            raise ValueError("names no task")
        return TaskVotes(line["task"], tuple(_pair(pair) for pair in line["pairs"]))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("holds a line that is not the votes for a task") from error


def _pair(content: dict[str, Any]) -> PairVotes:
    answer = content["answer"]
    candidates = [_candidate(*entry) for entry in content["candidates"]]
    if answer is not None and not is_grid_text(answer.encode()):
        raise ValueError("holds an answer that is no grid")
    pair = rank(candidates, None if answer is None else answer.encode())
    kept = pair.candidates()
    if kept != candidates or len({candidate.text for candidate in kept}) < len(kept):
        raise ValueError("holds candidates out of order, twice, or too many")
    totals = {name: content[name] for name in ("votes", "distinct", "right")}
    for name, least in (("votes", pair.votes), ("distinct", pair.distinct), ("right", pair.right)):
        # Of candidates that were not kept these numbers alone remain.
        whole = len(kept) >= MOST_CANDIDATES and type(totals[name]) is int and least is not None
        if totals[name] != least and not (whole and totals[name] >= least):
            raise ValueError(f"holds candidates that contradict their {name!r}")
    return replace(pair, **totals)


def _candidate(text: str, votes: int, q_sum: float, first: int) -> Candidate:
    encoded = text.encode()
    good = type(votes) is int and type(first) is int and type(q_sum) is float
    if not (good and votes > 0 and first >= 0 and math.isfinite(q_sum) and is_grid_text(encoded)):
        raise ValueError("holds a candidate that is none")
    return Candidate(encoded, votes, q_sum, first)
