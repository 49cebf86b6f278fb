"""Read Sudoku puzzles from CSV with the columns source, question, answer, rating."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from hrm_scale.data.counter import draws, make_key
from hrm_scale.errors import DataError
from shards.sudoku_board import (
    BLANKS,
    GEOMETRY_OF_LENGTH,
    Geometry,
    contradicted_cells,
    describe_cell,
    faulty_units,
    puzzle_problem,
)
from shards.sudoku_puzzles import Puzzles
from shards.sudoku_solver import solve

COLUMNS = ("source", "question", "answer", "rating")
# Stream of the counter generator; those below 100 belong to hrm_scale.data.
_SAMPLE = 103
_BLOCK = 1 << 16
_SHOWN = 3
_BAD = 255


class _Problems:
    """Unusable rows of a file: all are counted, the first few described."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: set[int] = set()
        self._first: list[str] = []

    def add(self, row: int, text: str) -> None:
        if row not in self.rows and len(self._first) < _SHOWN:
            self._first.append(f"row {row} (line {row + 1}): {text}")
        self.rows.add(row)

    def raise_if_any(self, total: int) -> None:
        if not self.rows:
            return
        found = len(self.rows)
        more = f"; and {found - len(self._first)} more" if found > len(self._first) else ""
        raise DataError(
            f"{self.name}: {found} of {total} rows cannot be used: {'; '.join(self._first)}{more}"
            " · nothing was written: correct or remove them and start again"
        )


def find_files(path: Path) -> dict[str, Path]:
    """The files of `--input`: {"train": ..., "test": ...} of a folder, {"train": ...} of a file."""
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        raise DataError(
            f"{path}: no such file or folder: give --input a CSV file or a folder with two"
        )
    files = {}
    for split in ("train", "test"):
        choices = [path / f"{split}.csv", path / f"{split}.csv.gz"]
        present = [choice for choice in choices if choice.is_file()]
        if not present:
            raise DataError(
                f"{path}: holds neither {split}.csv nor {split}.csv.gz: "
                "give --input a folder with train and test, or one CSV file"
            )
        files[split] = present[0]
    return files


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
    problems = _Problems(str(path))
    names: dict[str, int] = {}
    parts: list[Puzzles] = []
    keys: list[np.ndarray] = []
    total, held, highest = 0, 0, 0
    stream = make_key(_SAMPLE, seed)
    try:
        for rows in _blocks(path):
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
            if keep is not None and held > keep + _BLOCK:
                parts, keys = _smallest(parts, keys, keep)
                held = keep
            if progress is not None:
                progress(total)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}): fetch it again") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a CSV text file, after row {total} ({error}): give a UTF-8 file with the "
            f"columns {','.join(COLUMNS)}"
        ) from error
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
    problems = _Problems(name)
    for index in np.flatnonzero(result.solutions != 1):
        answer, first = puzzles.answers[index], result.first[index]
        other = result.other[index] if np.array_equal(first, answer) else first
        cell = int(np.flatnonzero(other != answer)[0])
        where = describe_cell(puzzles.geometry, cell)
        problems.add(
            int(puzzles.rows[index]),
            f"the question has a second solution, with {other[cell]} instead of {answer[cell]} "
            f"at {where}",
        )
    problems.raise_if_any(len(puzzles))


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _smallest(
    parts: list[Puzzles], keys: list[np.ndarray], keep: int
) -> tuple[list[Puzzles], list[np.ndarray]]:
    """Only the `keep` puzzles with the smallest keys, still in the file's order."""
    key = np.concatenate(keys)
    index = np.sort(np.argsort(key, kind="stable")[:keep])
    return [Puzzles.concatenate(parts).take(index)], [key[index]]


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("r", encoding="utf-8-sig", newline="")


def _blocks(path: Path) -> Iterator[list[tuple[str, str, str, str]]]:
    """Rows as (source, question, answer, rating), many at a time."""
    with _open(path) as stream:
        reader = csv.reader(stream)
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            shown = ",".join(header)[:80]
            raise DataError(
                f"{path}: the header lacks {', '.join(missing)} (it is {shown!r}): "
                f"expected the columns {','.join(COLUMNS)}"
            )
        s, q, a, r = (header.index(name) for name in COLUMNS)
        width = len(header)
        while chunk := list(islice(reader, _BLOCK)):
            while chunk and not chunk[-1]:  # blank lines at the end
                chunk.pop()
            if not chunk:
                return
            yield [
                (row[s], row[q].strip(), row[a].strip(), row[r])
                if len(row) >= width
                else ("", "", "", "")
                for row in chunk
            ]


def _geometry_of(question: str, path: Path) -> Geometry:
    geometry = GEOMETRY_OF_LENGTH.get(len(question))
    if geometry is None:
        raise DataError(
            f"{path}: row 1 (line 2): question has {len(question)} characters, "
            "allowed are 81 (9x9), 36 (6x6) and 16 (4x4)"
        )
    return geometry


def _parse(
    rows: list[tuple[str, str, str, str]],
    before: int,
    geometry: Geometry,
    names: dict[str, int],
    problems: _Problems,
) -> Puzzles:
    """Turn rows into arrays. Unusable rows are noted in `problems` and hold anything."""
    numbers = np.arange(before + 1, before + len(rows) + 1)
    questions = _digits([row[1] for row in rows], "question", BLANKS, geometry, numbers, problems)
    answers = _digits([row[2] for row in rows], "answer", "", geometry, numbers, problems)
    suspects = faulty_units(answers, geometry).any(axis=1)
    suspects |= contradicted_cells(questions, answers).any(axis=1)
    for index in np.flatnonzero(suspects).tolist():
        if int(numbers[index]) not in problems.rows:
            text = puzzle_problem(questions[index], answers[index], geometry)
            problems.add(int(numbers[index]), text or "unusable")
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


def _digits(
    texts: list[str],
    name: str,
    blanks: str,
    geometry: Geometry,
    numbers: np.ndarray,
    problems: _Problems,
) -> np.ndarray:
    """Boards `uint8 [n, cells]` of their texts."""
    cells = geometry.cells
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if (lengths != cells).any():
        for index in np.flatnonzero(lengths != cells):
            problems.add(
                int(numbers[index]), f"{name} has {lengths[index]} characters, expected {cells}"
            )
        texts = [text if len(text) == cells else "1" * cells for text in texts]
    # A character outside ASCII becomes one "?", so the length stays.
    raw = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8).reshape(-1, cells)
    value = np.full(256, _BAD, np.uint8)
    value[np.arange(1, geometry.size + 1) + ord("0")] = np.arange(1, geometry.size + 1)
    for blank in blanks:
        value[ord(blank)] = 0
    boards = value[raw]
    allowed = f"1-{geometry.size}" + (" and '.' or '0' for a blank" if blanks else "")
    for index in np.flatnonzero((boards == _BAD).any(axis=1)):
        cell = int(np.flatnonzero(boards[index] == _BAD)[0])
        problems.add(
            int(numbers[index]),
            f"{name} has {texts[index][cell]!r} at character {cell + 1}, allowed are {allowed}",
        )
    return boards
