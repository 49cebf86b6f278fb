"""Sudokus of any size up to 9x9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.boards.board import (
    NO_SOLUTION,
    ONE_SOLUTION,
    SEVERAL_SOLUTIONS,
    UNCOUNTED,
    UNKNOWN,
    Board,
    Puzzle,
    Verdict,
    counted,
    lines_of,
    read_square,
)
from hrm_scale.data import sudoku_solver
from hrm_scale.evaluation.sudoku import BLANK_TOKEN, contradictions

_BLANKS = ".0_"
_DRAWN = "|-+="  # lines between boxes
_COUNTS = {
    0: NO_SOLUTION,
    1: ONE_SOLUTION,
    2: SEVERAL_SOLUTIONS,
    sudoku_solver.UNCOUNTED: UNCOUNTED,
}


class SudokuBoard(Board):
    """A board of side x side cells with boxes of box_height x box_width.

    Tokens: 1 is an empty cell, d + 1 the digit d. As text `.`, `0` or `_` and the digits; white
    space and the box lines `|`, `-`, `+`, `=` are skipped.
    """

    kind = "sudoku"
    notes: ClassVar[dict[str, str]] = {
        NO_SOLUTION: "this puzzle has no solution",
        SEVERAL_SOLUTIONS: "this puzzle has more than one solution",
        UNCOUNTED: "whether this puzzle has exactly one solution was not checked: the search is"
        " too long",
    }

    def __init__(self, side: int, box_height: int, box_width: int) -> None:
        super().__init__(side)
        digits = "123456789"[:side]
        self.symbols = f"{UNKNOWN}.{digits}"
        self.boxes = (box_height, box_width)
        self._geometry = sudoku_solver.Geometry(side, box_height, box_width)
        self._allowed = f"the digits 1 to {side} and '.', 0 or '_' for an empty cell"
        self._tokens = dict.fromkeys(_BLANKS, BLANK_TOKEN)
        self._tokens |= {digit: int(digit) + BLANK_TOKEN for digit in digits}

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        rows = [_cells(line) for line in lines_of(text)]
        grid = read_square(rows, self.side, self._tokens, self._allowed, where)
        clash = self.contradictions(grid)
        if clash.any():
            row, column = np.argwhere(clash)[0].tolist()
            raise DataError(
                f"{where}: the {'digits' if answer else 'clues'} contradict each other: the"
                f" {self.symbol(grid[row, column])} in row {row + 1}, column {column + 1} stands"
                " twice in its row, column or box"
            )
        return grid

    def is_row(self, line: str) -> bool:
        return len(_cells(line)) in (0, self.side)

    def contradictions(self, grid: np.ndarray) -> np.ndarray:
        """bool [side, side]: the digit stands again in its row, column or box."""
        digits = np.where(self._is_digit(grid), grid, BLANK_TOKEN) - BLANK_TOKEN
        return contradictions(digits.reshape(-1), self._geometry.board()).reshape(grid.shape)

    def judge(self, puzzle: Puzzle, answers: Sequence[np.ndarray]) -> Verdict:
        """Without a known answer the rules decide; with one, only that one is right."""
        grid = answers[0]
        changed = (puzzle.question > BLANK_TOKEN) & (puzzle.question != grid)
        clashing, empty = self.contradictions(grid), ~self._is_digit(grid)
        differs = np.zeros_like(empty) if puzzle.answer is None else puzzle.answer != grid
        faults = [
            (changed, "clue changed", "clues changed"),
            (clashing, "cell contradicts others", "cells contradict each other"),
            (empty, "cell without a digit", "cells without a digit"),
            (differs, "cell differs from the known answer", "cells differ from the known answer"),
        ]
        found = [counted(int(cells.sum()), *words) for cells, *words in faults if cells.any()]
        words = f"not solved: {', '.join(found)}" if found else "solved"
        return Verdict(not found, words, changed | clashing | empty | differs)

    def count_solutions(self, questions: Sequence[np.ndarray]) -> list[str | None]:
        boards = np.stack([grid.reshape(-1) for grid in questions]) - np.uint8(BLANK_TOKEN)
        counts = sudoku_solver.count_solutions(boards, self._geometry)
        return [_COUNTS[count] for count in counts.tolist()]

    def _is_digit(self, grid: np.ndarray) -> np.ndarray:
        return (grid > BLANK_TOKEN) & (grid <= self.side + BLANK_TOKEN)


def _cells(line: str) -> str:
    return "".join(c for c in line if not c.isspace() and c not in _DRAWN)
