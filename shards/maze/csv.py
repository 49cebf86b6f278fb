"""Read mazes from CSV with the columns question and answer."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.maze.rules import CHARACTERS, bad_rows, row_problem
from hrm_scale.puzzles.maze.wave import MAX_SIDE

from ..builder.boards import Boards
from ..builder.csv_rows import Problems, decode, read_rows

COLUMNS = ("question", "answer")
_LETTERS = {letter: token for token, letter in enumerate(CHARACTERS, 1)}
_QUESTION = {letter: token for letter, token in _LETTERS.items() if letter != "o"}


def read_csv(
    path: Path, *, side: int | None = None, progress: Callable[[int], None] | None = None
) -> Boards:
    """All mazes of a file, in its order. side: of the board it must have (default: by row 1).

    Blanks are cells wherever they stand: nothing is stripped. Raises DataError, one line, naming
    the rows that cannot be used.
    """
    problems = Problems(str(path))
    parts: list[Boards] = []
    total = 0
    for rows in read_rows(path, COLUMNS):
        if side is None:
            side = _side_of(rows[0][0], path)
        parts.append(_parse(rows, total, side, problems))
        total += len(rows)
        if progress is not None:
            progress(total)
    problems.raise_if_any(total)
    if not parts:
        raise DataError(f"{path}: holds no mazes")
    return Boards.concatenate(parts)


def _side_of(question: str, path: Path) -> int:
    side = isqrt(len(question))
    if side * side != len(question) or not 2 <= side <= MAX_SIDE:
        raise DataError(
            f"{path}: row 1 (line 2): question has {len(question)} characters, a square number "
            f"is expected (900 for 30x30; sides from 2 to {MAX_SIDE}): blanks at either end are "
            "cells and must be there"
        )
    return side


def _parse(rows: list[tuple[str, ...]], before: int, side: int, problems: Problems) -> Boards:
    numbers = np.arange(before + 1, before + len(rows) + 1)
    inputs, labels = (
        decode(
            [row[column] for row in rows],
            COLUMNS[column],
            alphabet,
            "'#', ' ', 'S', 'G'" + (", 'o'" if "o" in alphabet else ""),
            side * side,
            numbers,
            problems,
        )
        for column, alphabet in enumerate((_QUESTION, _LETTERS))
    )
    for index in np.flatnonzero(bad_rows(inputs, labels, side)).tolist():
        if int(numbers[index]) not in problems.rows:
            text = row_problem(inputs[index], labels[index], side)
            problems.add(int(numbers[index]), text or "unusable")
    # The label of a sound record has one 'o' for each move but the last.
    moves = (labels == _LETTERS["o"]).sum(axis=1) + 1
    return Boards(Maze.of_size(side), inputs, labels, ratings=moves)
