"""Sudokus of any size up to 16x16."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.base import (
    NO_SOLUTION,
    ONE_SOLUTION,
    SEVERAL_SOLUTIONS,
    UNCOUNTED,
    Fault,
    Problem,
    Puzzle,
    Verdict,
)
from hrm_scale.puzzles.drawing import Drawing, Token, box_lines
from hrm_scale.puzzles.sudoku import solver
from hrm_scale.puzzles.sudoku.symmetry import sudoku_symmetry
from hrm_scale.puzzles.text import counted, lines_of, read_board

BLANK_TOKEN = 1
"""Token of an empty cell; digit d is token d + 1, padding is 0."""
GLYPHS = "123456789ABCDEFG"
BOXES = {4: (2, 2), 6: (2, 3), 8: (2, 4), 9: (3, 3), 10: (2, 5), 12: (3, 4), 16: (4, 4)}
"""Height and width of the boxes of each size that has a usual one."""
_BLANKS = ".0_"
_DRAWN = "|-+="  # lines between boxes
_COUNTS = {0: NO_SOLUTION, 1: ONE_SOLUTION, 2: SEVERAL_SOLUTIONS, solver.UNCOUNTED: UNCOUNTED}


class Sudoku(Puzzle):
    """A board of height x height cells with boxes of box_height x box_width.

    Tokens: 1 is an empty cell, d + 1 the digit d. As text `.`, `0` or `_` and the digits (A is 10);
    white space and the box lines `|`, `-`, `+`, `=` are skipped.
    """

    kind = "sudoku"
    blank = BLANK_TOKEN
    # Half of the hard Sudokus are below 17 guesses, one in a hundred above 100.
    rating_edges = (0, 1, 6, 11, 21, 51, 101)
    notes: ClassVar[dict[str, str]] = {
        NO_SOLUTION: "this puzzle has no solution",
        SEVERAL_SOLUTIONS: "this puzzle has more than one solution",
        UNCOUNTED: "whether this puzzle has exactly one solution was not checked: the search is"
        " too long",
    }

    def __init__(self, height: int, width: int, box_height: int, box_width: int) -> None:
        super().__init__(height, width)
        if not (height == width == box_height * box_width and 1 < height <= len(GLYPHS)):
            raise ValueError(
                f"{height}x{width} cells with boxes of {box_height}x{box_width} are no Sudoku of"
                f" up to {len(GLYPHS)}x{len(GLYPHS)}"
            )
        digits = GLYPHS[:height]
        self.tokens = (
            Token("padding"),
            Token("empty", "."),
            *(Token(digit, digit) for digit in digits),
        )
        self.symbols = range(BLANK_TOKEN + 1, len(self.tokens))
        self.boxes = (box_height, box_width)
        self.geometry = solver.Geometry(height, box_height, box_width)
        self.symmetry = sudoku_symmetry(self.geometry)

    @classmethod
    def of_size(cls, size: int) -> Sudoku:
        if size not in BOXES:
            raise ValueError(
                f"{size} is no size of a Sudoku; there are {', '.join(map(str, BOXES))}"
            )
        return cls(size, size, *BOXES[size])

    @property
    def board(self) -> dict[str, int]:
        return self.geometry.board()

    @cached_property
    def drawing(self) -> Drawing:
        lines = box_lines(self.height, self.width, *(self.boxes or (1, 1)))
        return Drawing(self.height, self.width, self.tokens, self.blank, lines=lines)

    @cached_property
    def _units(self) -> np.ndarray:
        """The cells of each row, column and box, int64 [3 * size, size]."""
        return self.geometry.units()

    def exactly_one(self) -> np.ndarray:
        """A digit in each cell; in each row, column and box each digit."""
        size, cells = self.height, np.arange(self.cells)
        candidates = cells[:, None] * size + np.arange(size)
        held = self._units[:, None, :] * size + np.arange(size)[:, None]
        return np.concatenate([candidates, held.reshape(-1, size)])

    # --- rules ---

    def solved(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: are all clues kept, and has every row, column and box each digit once?"""
        right = ((inputs <= BLANK_TOKEN) | (inputs == answers)).all(axis=1)
        digits = np.sort(answers[right][:, self._units], axis=2)
        right[right] = (digits == np.array(self.symbols)).all(axis=(1, 2))
        return right

    def broken(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: two equal digits in a unit, or a changed clue; empty cells break nothing."""
        found = np.sort(answers[:, self._units], axis=-1)
        twice = (found[..., 1:] == found[..., :-1]) & (found[..., 1:] > BLANK_TOKEN)
        changed = (inputs > BLANK_TOKEN) & (inputs != answers)
        return np.asarray(twice.any((1, 2)) | changed.any(1))

    def faults(self, inputs: np.ndarray, answers: np.ndarray) -> list[Fault]:
        changed = (inputs > BLANK_TOKEN) & (inputs != answers)
        return [
            Fault(changed, "clue changed", "clues changed"),
            Fault(
                self.contradictions(answers),
                "cell contradicts others",
                "cells contradict each other",
            ),
            Fault(
                ~self._is_digit(answers), "cell without a digit", "cells without a digit", open=True
            ),
        ]

    def contradictions(self, boards: np.ndarray) -> np.ndarray:
        """bool [n, S]: the digit stands again in its row, column or box."""
        again = np.zeros(boards.shape, bool)
        digits = np.where(self._is_digit(boards), boards, 0)
        for digit in self.symbols:
            here = digits == digit
            crowded = here[:, self._units].sum(axis=2) > 1
            twice = np.zeros(boards.shape, bool)
            for unit, cells in enumerate(self._units):
                twice[:, cells] |= crowded[:, unit, None]
            again |= here & twice
        return again

    def judge(self, problem: Problem, answers: Sequence[np.ndarray]) -> Verdict:
        """Without a known answer the rules decide; with one, only that one is right."""
        verdict = super().judge(problem, answers)
        if problem.answer is None or np.array_equal(problem.answer, answers[0]):
            return verdict
        differs = problem.answer != answers[0]
        words = counted(
            int(differs.sum()),
            "cell differs from the known answer",
            "cells differ from the known answer",
        )
        before = "not solved: " if verdict.solved else f"{verdict.words}, "
        return Verdict(False, f"{before}{words}", verdict.wrong | differs)

    def count_solutions(self, questions: Sequence[np.ndarray]) -> list[str | None]:
        boards = np.stack([grid.reshape(-1) for grid in questions]) - np.uint8(BLANK_TOKEN)
        counts = solver.count_solutions(boards, self.geometry)
        return [_COUNTS[count] for count in counts.tolist()]

    def _is_digit(self, boards: np.ndarray) -> np.ndarray:
        return np.asarray((boards > BLANK_TOKEN) & (boards <= self.height + BLANK_TOKEN))

    # --- text ---

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        rows = [_characters(line) for line in lines_of(text)]
        digits = GLYPHS[: self.height]
        last = f"1 to {self.height}" if self.height <= 9 else f"1 to 9 and A to {digits[-1]}"
        allowed = f"the digits {last} and '.', 0 or '_' for an empty cell"
        tokens = dict.fromkeys(_BLANKS, BLANK_TOKEN)
        for number, digit in enumerate(digits, start=BLANK_TOKEN + 1):
            tokens |= {digit: number, digit.lower(): number}
        grid = read_board(rows, (self.height, self.width), tokens, allowed, where)
        clash = self.contradictions(grid.reshape(1, -1)).reshape(grid.shape)
        if clash.any():
            row, column = np.argwhere(clash)[0].tolist()
            raise DataError(
                f"{where}: the {'digits' if answer else 'clues'} contradict each other: the"
                f" {self.glyph(grid[row, column])} in row {row + 1}, column {column + 1} stands"
                " twice in its row, column or box"
            )
        return grid

    def is_row(self, line: str) -> bool:
        return len(_characters(line)) in (0, self.width)

    def remark(self, tokens: np.ndarray) -> str:
        return counted(int((tokens > BLANK_TOKEN).sum()), "clue", "clues")


def _characters(line: str) -> str:
    return "".join(c for c in line if not c.isspace() and c not in _DRAWN)
