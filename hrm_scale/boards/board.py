"""What puzzles of all kinds have in common: grids of tokens, their text, and a judgement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hrm_scale.base.errors import DataError

UNKNOWN = "?"
"""How a token is written that stands for nothing on a board."""
NO_SOLUTION, ONE_SOLUTION, SEVERAL_SOLUTIONS, UNCOUNTED = "none", "one", "several", "not checked"
"""How many right answers a puzzle has, whatever a model answers."""


@dataclass(frozen=True)
class Puzzle:
    """A question, and its answer where one is known: grids of tokens, uint8 [h, w].

    name: for people. task: of ARC, the name of the task whose test input the question is.
    """

    name: str
    question: np.ndarray
    answer: np.ndarray | None = None
    task: str | None = None


@dataclass(frozen=True)
class Verdict:
    """solved: None where only the right answer could tell, and it is not known. words: the same
    with the reasons, for people. wrong: bool [h, w], cells of the answer to be marked."""

    solved: bool | None
    words: str
    wrong: np.ndarray


class Board(ABC):
    """Puzzles of one kind and size. A grid is uint8 [h, w] of tokens, `symbols[token]` is how it is
    written; a model reads and writes grids as `encode` lays them out."""

    kind: ClassVar[str]
    symbols: str
    boxes: tuple[int, int] | None = None
    """Height and width of the boxes of a Sudoku."""
    notes: ClassVar[dict[str, str]] = {}
    """What to say about a puzzle, by how many solutions it has; nothing where all is well."""

    def __init__(self, side: int) -> None:
        self.side = side

    @abstractmethod
    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        """The grid written in a text, on one line or over several; a question unless `answer`.
        DataError, one line that begins with `where`."""

    @abstractmethod
    def judge(self, puzzle: Puzzle, answers: Sequence[np.ndarray]) -> Verdict:
        """Is a grid of `answers` right? Marks are for the first of them."""

    def count_solutions(self, questions: Sequence[np.ndarray]) -> list[str | None]:
        """NO_SOLUTION, ONE_SOLUTION, SEVERAL_SOLUTIONS or UNCOUNTED of each question; None where
        only the known answer could tell."""
        return [None] * len(questions)

    def note(self, solutions: str | None) -> str:
        """A line about a puzzle that has not exactly one solution, else nothing."""
        return self.notes.get(solutions or "", "")

    @abstractmethod
    def is_row(self, line: str) -> bool:
        """Does a line of a file look like one row of a drawn board, not like a whole puzzle?"""

    def is_empty(self, line: str) -> bool:
        """Is there nothing on a line of a file? Such lines separate drawn boards."""
        return not line.strip()

    def encode(self, grid: np.ndarray) -> np.ndarray:
        """What a model reads: tokens uint8 [S] of a grid."""
        return grid.reshape(-1)

    def grid(self, tokens: np.ndarray) -> np.ndarray:
        """The grid, right or not, in the tokens [S] that a model writes."""
        return tokens.reshape(self.side, self.side).astype(np.uint8)

    def symbol(self, token: int) -> str:
        return self.symbols[token] if token < len(self.symbols) else UNKNOWN

    def text(self, grid: np.ndarray) -> str:
        """A grid on one line, as `parse` reads it where every token stands for something."""
        return "".join(map(self.symbol, grid.reshape(-1).tolist()))


def counted(number: int, one: str, many: str) -> str:
    """``1 cell``, ``2 cells``: the number and the words for one or for several."""
    return f"{number} {one if number == 1 else many}"


def lines_of(text: str) -> list[str]:
    """Lines as an editor counts them, white space at their ends included."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def read_square(
    rows: Sequence[str], side: int, tokens: dict[str, int], allowed: str, where: str
) -> np.ndarray:
    """The grid uint8 [side, side] in the characters of one row or several (empty ones do not
    count). DataError naming the first character or row that is wrong."""
    rows = [row for row in rows if row]
    characters = "".join(rows)
    for number, character in enumerate(characters):
        if character not in tokens:
            row, column = divmod(number, side)
            raise DataError(
                f"{where}: character {number + 1} of the puzzle (row {row + 1}, column"
                f" {column + 1}) is {character!r}; allowed are {allowed}"
            )
    if len(characters) != side * side:
        odd = [(n, len(row)) for n, row in enumerate(rows, start=1) if len(row) != side]
        drawn = f" (row {odd[0][0]} has {odd[0][1]})" if len(rows) > 1 and odd else ""
        raise DataError(
            f"{where}: the puzzle has {counted(len(characters), 'cell', 'cells')}{drawn}, the"
            f" checkpoint solves boards of {side * side} ({side} x {side}): write all of it on one"
            f" line, row after row, or {side} lines of {side} cells; allowed are {allowed}"
        )
    grid = np.array([tokens[character] for character in characters], np.uint8)
    return grid.reshape(side, side)
