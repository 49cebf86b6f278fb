"""Read Sudoku puzzles from CSV with the columns source, question, answer, rating."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hrm_scale.base.counter import draws, make_key
from hrm_scale.base.errors import DataError
from hrm_scale.puzzles import Puzzle
from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN, BLANKS, GEOMETRIES, GLYPHS, Geometry
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.sudoku.solver import solve

from ..builder.boards import Boards
from ..builder.csv_rows import BLOCK, Problems, decode, read_rows

COLUMNS = ("source", "question", "answer", "rating")
# Stream of the counter generator; those below 100 belong to hrm_scale.data.
_SAMPLE = 103
_OFFSET = np.uint8(BLANK_TOKEN)


def read_csv(
    path: Path,
    *,
    min_difficulty: int = 0,
    keep: int | None = None,
    seed: int = 0,
    puzzle: Puzzle | None = None,
    progress: Callable[[int], None] | None = None,
) -> Boards:
    """Puzzles of a file with a rating of at least `min_difficulty`, in the file's order.

    keep: at most so many of them, a sample that depends on the seed alone; the others are checked
    but not held in memory. puzzle: the board the file must have (default: by its first row).
    Raises DataError, one line, naming the rows that cannot be used. Whether a puzzle has a second
    solution is a matter of `check_unique`.
    """
    problems = Problems(str(path))
    names: dict[str, int] = {}
    parts: list[Boards] = []
    keys: list[np.ndarray] = []
    total, held, highest = 0, 0, 0
    stream = make_key(_SAMPLE, seed)
    for texts in read_rows(path, COLUMNS):
        rows = [(source, q.strip(), a.strip(), rating) for source, q, a, rating in texts]
        if puzzle is None:
            puzzle = Sudoku.of_geometry(_geometry_of(rows[0][1], path))
        assert isinstance(puzzle, Sudoku)
        block, ratings = _parse(rows, total, puzzle, names, problems)
        key = draws(stream, total, len(rows))
        total += len(rows)
        highest = max(highest, int(ratings.max()))
        chosen = ratings >= min_difficulty
        parts.append(block.take(np.flatnonzero(chosen)))
        keys.append(key[chosen])
        held += int(chosen.sum())
        if keep is not None and held > keep + BLOCK:
            parts, keys = _smallest(parts, keys, keep)
            held = keep
        if progress is not None:
            progress(total)
    problems.raise_if_any(total)
    if held == 0:
        raise DataError(
            f"{path}: holds no puzzles"
            if total == 0
            else f"{path}: no puzzle has a rating of at least {min_difficulty}, the highest of its "
            f"{total} is {highest}: lower --min-difficulty"
        )
    if keep is not None and held > keep:
        parts, keys = _smallest(parts, keys, keep)
    return replace(Boards.concatenate(parts), source_names=list(names))


def check_unique(
    boards: Boards, name: str, *, progress: Callable[[int], None] | None = None
) -> None:
    """DataError unless every puzzle has no solution but its answer."""
    assert isinstance(boards.puzzle, Sudoku)
    assert boards.rows is not None
    geometry = boards.puzzle.geometry
    result = solve(boards.inputs - _OFFSET, geometry, progress=progress)
    problems = Problems(name)
    for index in np.flatnonzero(result.solutions != 1):
        answer, first = boards.labels[index] - _OFFSET, result.first[index]
        other = result.other[index] if np.array_equal(first, answer) else first
        cell = int(np.flatnonzero(other != answer)[0])
        problems.add(
            int(boards.rows[index]),
            f"the question has a second solution, with {GLYPHS[other[cell]]} instead of "
            f"{GLYPHS[answer[cell]]} at {geometry.describe_cell(cell)}",
        )
    problems.raise_if_any(len(boards))


def _smallest(
    parts: list[Boards], keys: list[np.ndarray], keep: int
) -> tuple[list[Boards], list[np.ndarray]]:
    """Only the `keep` puzzles with the smallest keys, still in the file's order."""
    key = np.concatenate(keys)
    index = np.sort(np.argsort(key, kind="stable")[:keep])
    return [Boards.concatenate(parts).take(index)], [key[index]]


def _geometry_of(question: str, path: Path) -> Geometry:
    lengths = {geometry.cells: geometry for geometry in GEOMETRIES.values()}
    if len(question) not in lengths:
        allowed = ", ".join(f"{cells} ({g.size}x{g.size})" for cells, g in lengths.items())
        raise DataError(
            f"{path}: row 1 (line 2): question has {len(question)} characters, allowed are "
            f"{allowed}"
        )
    return lengths[len(question)]


def _parse(
    rows: list[tuple[str, str, str, str]],
    before: int,
    puzzle: Sudoku,
    names: dict[str, int],
    problems: Problems,
) -> tuple[Boards, np.ndarray]:
    """Rows as boards, and their ratings. Unusable rows are noted and hold anything."""
    numbers = np.arange(before + 1, before + len(rows) + 1)
    geometry = puzzle.geometry
    digits = {letter: BLANK_TOKEN + digit for letter, digit in geometry.characters().items()}
    blanks = dict.fromkeys(BLANKS, BLANK_TOKEN)
    inputs, labels = (
        decode(
            [row[column] for row in rows],
            name,
            alphabet,
            f"the digits {geometry.digits_in_words}{words}",
            geometry.cells,
            numbers,
            problems,
        )
        for column, name, alphabet, words in (
            (1, "question", {**digits, **blanks}, " and '.', 0 or '_' for an empty cell"),
            (2, "answer", digits, ""),
        )
    )
    for index, _, text in puzzle.problems(inputs, labels):
        if int(numbers[index]) not in problems.rows:
            problems.add(int(numbers[index]), text)
    ratings = np.zeros(len(rows), np.int32)
    sources = np.zeros(len(rows), np.uint8)
    for index, (source, _, _, rating) in enumerate(rows):
        sources[index] = names.setdefault(source, min(len(names), 255))
        try:
            ratings[index] = int(rating)
        except (ValueError, OverflowError):
            problems.add(before + index + 1, f"rating is {rating[:20]!r}, expected an integer")
    if len(names) > 256:
        raise DataError(
            f"{problems.name}: column source has more than 256 different values "
            f"(by row {before + len(rows)}): it names the collection a puzzle comes from"
        )
    return Boards(puzzle, inputs, labels, ratings, numbers, sources), ratings
