"""Read Sudoku puzzles from CSV with the columns source, question, answer, rating."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hrm_scale.base.counter import draws, make_key
from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN, BLANKS, GEOMETRIES, GLYPHS, Geometry
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.sudoku.solver import solve

from ..source.csv_rows import BLOCK, Problems, decode, read_rows
from .puzzles import Puzzles

COLUMNS = ("source", "question", "answer", "rating")
# Stream of the counter generator; those below 100 belong to hrm_scale.data.
_SAMPLE = 103


def read_csv(
    path: Path,
    *,
    min_difficulty: int = 0,
    keep: int | None = None,
    seed: int = 0,
    geometry: Geometry | None = None,
    progress: Callable[[int], None] | None = None,
) -> Puzzles:
    """Puzzles of a file with a rating of at least `min_difficulty`, in the file's order.

    keep: at most so many of them, a sample that depends on the seed alone; the others are checked
    but not held in memory. geometry: the board the file must have (default: by its first row).
    Raises DataError, one line, naming the rows that cannot be used. Whether a puzzle has a second
    solution is a matter of `check_unique`.
    """
    problems = Problems(str(path))
    names: dict[str, int] = {}
    parts: list[Puzzles] = []
    keys: list[np.ndarray] = []
    total, held, highest = 0, 0, 0
    stream = make_key(_SAMPLE, seed)
    for texts in read_rows(path, COLUMNS):
        rows = [(source, q.strip(), a.strip(), rating) for source, q, a, rating in texts]
        if geometry is None:
            geometry = _geometry_of(rows[0][1], path)
        block = _parse(rows, total, geometry, names, problems)
        key = draws(stream, total, len(rows))
        total += len(rows)
        highest = max(highest, int(block.ratings.max()))
        chosen = block.ratings >= min_difficulty
        parts.append(block.take(np.flatnonzero(chosen)))
        keys.append(key[chosen])
        held += int(chosen.sum())
        if keep is not None and held > keep + BLOCK:
            parts, keys = _smallest(parts, keys, keep)
            held = keep
        if progress is not None:
            progress(total)
    problems.raise_if_any(total)
    if held == 0 or geometry is None:
        raise DataError(
            f"{path}: holds no puzzles"
            if total == 0
            else f"{path}: no puzzle has a rating of at least {min_difficulty}, the highest of its "
            f"{total} is {highest}: lower --min-difficulty"
        )
    if keep is not None and held > keep:
        parts, keys = _smallest(parts, keys, keep)
    everything = Puzzles.concatenate(parts)
    return everything.with_sources(everything.sources, list(names))


def check_unique(
    puzzles: Puzzles, name: str, *, progress: Callable[[int], None] | None = None
) -> None:
    """DataError unless every puzzle has no solution but its answer."""
    result = solve(puzzles.questions, puzzles.geometry, progress=progress)
    problems = Problems(name)
    for index in np.flatnonzero(result.solutions != 1):
        answer, first = puzzles.answers[index], result.first[index]
        other = result.other[index] if np.array_equal(first, answer) else first
        cell = int(np.flatnonzero(other != answer)[0])
        problems.add(
            int(puzzles.rows[index]),
            f"the question has a second solution, with {GLYPHS[other[cell]]} instead of "
            f"{GLYPHS[answer[cell]]} at {puzzles.geometry.describe_cell(cell)}",
        )
    problems.raise_if_any(len(puzzles))


def _smallest(
    parts: list[Puzzles], keys: list[np.ndarray], keep: int
) -> tuple[list[Puzzles], list[np.ndarray]]:
    """Only the `keep` puzzles with the smallest keys, still in the file's order."""
    key = np.concatenate(keys)
    index = np.sort(np.argsort(key, kind="stable")[:keep])
    return [Puzzles.concatenate(parts).take(index)], [key[index]]


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
    geometry: Geometry,
    names: dict[str, int],
    problems: Problems,
) -> Puzzles:
    """Turn rows into arrays. Unusable rows are noted in `problems` and hold anything."""
    numbers = np.arange(before + 1, before + len(rows) + 1)
    blanks = dict.fromkeys(BLANKS, 0)
    questions, answers = (
        decode(
            [row[column] for row in rows],
            name,
            {**geometry.characters(), **more},
            f"the digits {geometry.digits_in_words}{words}",
            geometry.cells,
            numbers,
            problems,
        )
        for column, name, more, words in (
            (1, "question", blanks, " and '.', 0 or '_' for an empty cell"),
            (2, "answer", {}, ""),
        )
    )
    offset = np.uint8(BLANK_TOKEN)
    found = Sudoku.of_geometry(geometry).problems(questions + offset, answers + offset)
    for index, _, text in found:
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
    return Puzzles(geometry, questions, answers, ratings, sources, numbers, [])
