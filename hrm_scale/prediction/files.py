"""`output=FILE`: predictions in a file, of the form that its ending names."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.files import replace_file
from hrm_scale.base.output import check_file
from hrm_scale.prediction.animation import MOST, Animation, require_pillow
from hrm_scale.prediction.page import Page
from hrm_scale.prediction.prediction import Prediction
from hrm_scale.puzzles import Puzzle
from hrm_scale.puzzles.arc.puzzle import to_rows

ENDINGS = (".json", ".csv", ".html", ".gif")
_COLUMNS = ("name", "question", "answer", "solved", "steps", "q")
_NO_GRID = [[0]]
"""What Kaggle takes for a test without an answer."""


class Content(Protocol):
    """Collects predictions; `pieces` is the whole file."""

    def add(self, prediction: Prediction) -> None: ...

    def pieces(self) -> Iterator[bytes]: ...


def check_output(output: str) -> None:
    """Before any work: ConfigError when nothing can be written there, EnvironmentProblem without
    the package it needs."""
    path = Path(output)
    if path.suffix not in ENDINGS:
        raise ConfigError(
            f"output={output}: the ending says what is written; allowed are .json and .csv"
            " (answers), .html and .gif (the steps, animated)"
        )
    check_file(path, "output")
    if path.suffix == ".gif":
        require_pillow(output)


def content_of(output: str, board: Puzzle, about: str, *, single: bool) -> Content:
    """What collects the content of a file. single: the puzzles are the tests of one ARC task."""
    ending = Path(output).suffix
    if ending == ".html":
        return Page(board, about)
    if ending == ".gif":
        return Animation(board)
    if ending == ".csv":
        return Table(board)
    if board.has_tasks:
        return ArcAnswers(single=single)
    return Answers(board)


def write(output: str, content: Content) -> str:
    """Write the file, all or nothing. Returns what was done, in words."""
    replace_file(Path(output), content.pieces())
    if isinstance(content, Animation) and content.left_out:
        return f"wrote {output} (the first {MOST} puzzles; .html takes all)"
    return f"wrote {output}"


def _facts(prediction: Prediction) -> dict[str, Any]:
    """A prediction without its steps. steps: the first at which the model would halt, or None;
    q: sigmoid of the halt head after the last one; solutions: None for ARC."""
    board, puzzle = prediction.board, prediction.puzzle
    return {
        "name": puzzle.name,
        "question": board.text(puzzle.question),
        "answer": board.text(prediction.attempts[0].grid),
        "solved": prediction.verdict.solved,
        "steps": prediction.trajectory.halt or None,
        "q": None if math.isnan(prediction.sure) else round(prediction.sure, 6),
        "solutions": prediction.solutions,
    }


class Table:
    """CSV with the columns of `_facts`; of ARC the second attempt in place of `solutions`, grids as
    `012/345`."""

    def __init__(self, board: Puzzle) -> None:
        last = "answer_2" if board.has_tasks else "solutions"
        self._columns = (*_COLUMNS, last)
        self._lines = [_line(self._columns)]

    def add(self, prediction: Prediction) -> None:
        facts = _facts(prediction)
        solved = facts["solved"]
        facts["solved"] = "" if solved is None else str(solved).lower()
        facts["answer_2"] = prediction.board.text(prediction.attempts[-1].grid)
        self._lines.append(_line([facts[column] for column in self._columns]))

    def pieces(self) -> Iterator[bytes]:
        yield from self._lines


def _line(values: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


class Answers:
    """JSON: a list of objects with the keys of `_facts`."""

    def __init__(self, board: Puzzle) -> None:
        self._board = board
        self._found: list[dict[str, Any]] = []

    def add(self, prediction: Prediction) -> None:
        self._found.append(_facts(prediction))

    def pieces(self) -> Iterator[bytes]:
        yield f"{json.dumps(self._found, indent=1)}\n".encode()


class ArcAnswers:
    """JSON of ARC. Of a single task its tests with the first attempt for an output; else Kaggle's
    submission, `{task: [{"attempt_1": grid, "attempt_2": grid}, ...]}`."""

    def __init__(self, *, single: bool) -> None:
        self._single = single
        self._tasks: dict[str, list[dict[str, Any]]] = {}

    def add(self, prediction: Prediction) -> None:
        puzzle = prediction.puzzle
        grids = [to_rows(attempt.grid) or _NO_GRID for attempt in prediction.attempts]
        entry: dict[str, Any] = {"attempt_1": grids[0], "attempt_2": grids[-1]}
        if self._single:
            entry = {"input": to_rows(puzzle.question), "output": grids[0], **entry}
        self._tasks.setdefault(puzzle.task or puzzle.name, []).append(entry)

    def pieces(self) -> Iterator[bytes]:
        content: Any = self._tasks
        if self._single:
            content = {"test": next(iter(self._tasks.values()))}
        yield f"{json.dumps(content, separators=(',', ':'))}\n".encode()
