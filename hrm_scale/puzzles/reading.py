"""Puzzles from a text, whatever its layout: one a line, drawn over several lines, CSV, JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.arc.task_files import ArcTasks, is_json, tasks_of_json
from hrm_scale.puzzles.base import Problem, Puzzle, lines_of
from hrm_scale.puzzles.text_source import name_of, read_text

Numbered = list[tuple[int, str]]
"""Lines and their numbers, from 1."""


def read_typed(text: str, board: Puzzle) -> tuple[list[Problem], ArcTasks | None]:
    """The puzzle typed on a command line (of ARC a grid, or JSON as in a file), and the tasks where
    there are any. DataError, one line."""
    if isinstance(board, Arc) and is_json(text):
        tasks = tasks_of_json(text, "puzzle", "puzzle")
        return tasks.puzzles(), tasks
    return [Problem("puzzle", board.parse(text, "puzzle"))], None


def read_file(file: str, board: Puzzle) -> tuple[list[Problem], ArcTasks | None]:
    """The puzzles of a file, or of standard input for `-`, and the tasks of a JSON file.

    A file holds one puzzle a line, or boards drawn over several lines with an empty line between
    them, or a table (CSV) with a column `question` and perhaps `answer`, or the JSON of ARC; all of
    them may be packed with gzip. DataError, one line, with the number of the line that is wrong.
    """
    text, where = read_text(file), name_of(file)
    if is_json(text):
        if not isinstance(board, Arc):
            raise DataError(
                f"{where} holds JSON, which is read for models of ARC; this one solves"
                f" {board.kind}s: write one puzzle a line, or CSV with a column 'question'"
            )
        tasks = tasks_of_json(text, _stem(file), where)
        return tasks.puzzles(), tasks
    lines = [(n, line) for n, line in enumerate(lines_of(text), start=1)]
    filled = [(n, line) for n, line in lines if not board.is_empty(line)]
    if not filled:
        raise DataError(f"{where} is empty: write one puzzle a line")
    place = where.removeprefix("file=")
    if "question" in _fields(filled[0][1]):
        puzzles = list(_table(filled[0][0], [line for _, line in lines], place, board))
        if not puzzles:
            raise DataError(f"{where} has a header and no puzzle below it")
        return puzzles, None
    drawn = board.is_row(filled[0][1])
    return list(_drawn(lines, place, board) if drawn else _listed(filled, place, board)), None


def _stem(file: str) -> str:
    """The name of the task in a file: `007bbfb7` for `tasks/007bbfb7.json.gz`."""
    name = file.replace("\\", "/").rpartition("/")[2].removesuffix(".gz").removesuffix(".json")
    return name if name not in ("", "-") else "puzzle"


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _listed(lines: Numbered, place: str, board: Puzzle) -> Iterator[Problem]:
    for number, line in lines:
        yield Problem(f"line {number}", board.parse(line, f"{place} line {number}"))


def _drawn(lines: Numbered, place: str, board: Puzzle) -> Iterator[Problem]:
    """Boards over several lines each, with empty lines between them."""
    block: Numbered = []
    for number, line in [*lines, (len(lines) + 1, "")]:
        if not board.is_empty(line):
            block.append((number, line))
        elif block:
            name = f"lines {block[0][0]}-{block[-1][0]}"
            text = "\n".join(line for _, line in block)
            yield Problem(name, board.parse(text, f"{place} {name}"))
            block = []


def _table(first: int, lines: list[str], place: str, board: Puzzle) -> Iterator[Problem]:
    """The rows of a CSV whose header is on line `first`."""
    table = csv.DictReader(lines[first - 1 :])
    try:
        for row in table:
            number = first - 1 + table.line_num
            where = f"{place} line {number}"
            answer = None
            if row.get("answer"):
                answer = board.parse(row["answer"], f"{where}, answer", answer=True)
            # A row shorter than the header has no question at all.
            question = board.parse(row["question"] or "", where)
            yield Problem(f"line {number}", question, answer)
    except csv.Error as error:
        raise DataError(f"{place} is no readable CSV: {error}") from None
