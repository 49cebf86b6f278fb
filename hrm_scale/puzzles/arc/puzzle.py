"""ARC grids: rows of the colours 0 to 9, up to 30x30, answers of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.arc import grid as arc_grid
from hrm_scale.puzzles.arc.grid import COLOURS, FIRST_COLOUR, SIDE
from hrm_scale.puzzles.arc.symmetry import ArcSymmetry
from hrm_scale.puzzles.base import Problem, Puzzle, Verdict
from hrm_scale.puzzles.drawing import PALETTE, Drawing, Token
from hrm_scale.puzzles.text import counted, lines_of

_DIGITS = "".join(map(str, range(COLOURS)))
_SKIPPED = " \t,;"
_ATTEMPTS = ("first", "second")


class Arc(Puzzle):
    """Grids inside a frame of 30x30. Token 2 + c is the colour c. As text rows of digits, joined by
    `/` or on lines of their own; blanks and commas are skipped."""

    kind = "arc"
    noun = "ARC tasks"
    tokens = (
        Token("padding"),
        Token("end of the grid"),
        *(Token(f"colour {n}", str(n), fill) for n, fill in enumerate(PALETTE)),
    )
    symbols = range(FIRST_COLOUR, FIRST_COLOUR + COLOURS)
    has_rules = False
    has_tasks = True
    symmetry = ArcSymmetry()

    def __init__(self, height: int = SIDE, width: int = SIDE) -> None:
        super().__init__(height, width)
        if height != SIDE or width != SIDE:
            raise ValueError(f"a frame of {height}x{width}: ARC grids lie in one of {SIDE}x{SIDE}")

    @classmethod
    def of_size(cls, size: int) -> Arc:
        return cls(size, size)

    @property
    def title(self) -> str:
        return "ARC"

    @cached_property
    def drawing(self) -> Drawing:
        return Drawing(self.height, self.width, self.tokens, crop=True)

    def solved(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        raise TypeError("ARC has no rules: only the known answer decides")

    def start(self) -> np.ndarray:
        return np.full((3, 3), FIRST_COLOUR, np.uint8)

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        rows = [_cells(row) for line in lines_of(text) for row in line.split("/")]
        return grid_of([[_colour(c) for c in row] for row in rows if row], where)

    def is_row(self, line: str) -> bool:
        return "/" not in line

    def encode(self, grid: np.ndarray) -> np.ndarray:
        return arc_grid.encode(grid - np.uint8(FIRST_COLOUR))

    def grid(self, tokens: np.ndarray) -> np.ndarray:
        """The grid that the published evaluation reads in the tokens; perhaps of 0x0."""
        return arc_grid.crop(tokens) + np.uint8(FIRST_COLOUR)

    def text(self, grid: np.ndarray) -> str:
        return "/".join("".join(map(self.glyph, row)) for row in grid.tolist())

    def judge(self, problem: Problem, answers: Sequence[np.ndarray]) -> Verdict:
        """Nothing but the known answer decides; each of the attempts may be right."""
        first, right = answers[0], problem.answer
        unmarked = np.zeros(first.shape, bool)
        if right is None:
            none = "" if first.size else ", and the model wrote no grid"
            return Verdict(None, f"the right answer is not known{none}", unmarked)
        for place, grid in zip(_ATTEMPTS, answers, strict=False):
            if np.array_equal(grid, right):
                which = f" by the {place} attempt" if len(answers) > 1 else ""
                wrong = unmarked if grid is first else _differing(first, right)
                return Verdict(True, f"solved{which}", wrong)
        wrong = _differing(first, right)
        if first.shape == right.shape:
            cells = counted(right.size, "cell differs", "cells differ")
            words = f"{int(wrong.sum())} of {cells} from the known answer"
        elif not first.size:
            words = "the model wrote no grid"
        else:
            words = f"the grid is {sides(first)}, the known answer {sides(right)}"
        return Verdict(False, f"not solved: {words}", wrong)


def grid_of(rows: Any, where: str) -> np.ndarray:
    """A grid of tokens from lists of colours. DataError when they are none, or too many."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise DataError(f"{where}: no grid: expected rows of the colours 0 to {COLOURS - 1}")
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise DataError(
            f"{where}: the grid is not rectangular: it has rows of {min(lengths)} and of"
            f" {max(lengths)} cells"
        )
    if not (0 < len(rows[0]) <= SIDE and len(rows) <= SIDE):
        raise DataError(
            f"{where}: the grid is {len(rows)}x{len(rows[0])}, allowed are 1 to {SIDE} a side"
        )
    cells = [cell for row in rows for cell in row]
    for number, cell in enumerate(cells):
        if type(cell) is not int or not 0 <= cell < COLOURS:
            row, column = divmod(number, len(rows[0]))
            shown = repr(cell)[:30] if isinstance(cell, str | int | float) else "no number"
            raise DataError(
                f"{where}: row {row + 1}, column {column + 1} is {shown}; allowed are the colours"
                f" 0 to {COLOURS - 1}"
            )
    return np.array(rows, np.uint8) + np.uint8(FIRST_COLOUR)


def to_rows(grid: np.ndarray) -> list[list[int]]:
    """A grid of tokens as lists of colours; of 0x0 an empty list."""
    rows: list[list[int]] = (grid - np.uint8(FIRST_COLOUR)).tolist()
    return rows


def sides(grid: np.ndarray) -> str:
    return f"{grid.shape[0]}x{grid.shape[1]}"


def _differing(grid: np.ndarray, right: np.ndarray) -> np.ndarray:
    """bool, the shape of `grid`: cells that are others than in `right`, or not in it."""
    wrong = np.ones(grid.shape, bool)
    height, width = (min(pair) for pair in zip(grid.shape, right.shape, strict=True))
    wrong[:height, :width] = grid[:height, :width] != right[:height, :width]
    return wrong


def _cells(row: str) -> str:
    return "".join(c for c in row if c not in _SKIPPED)


def _colour(character: str) -> int | str:
    return int(character) if character in _DIGITS else character
