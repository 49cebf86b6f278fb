"""Sudokus of any size up to 16x16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from hrm_scale.base.counter import draws
from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.base import (
    NO_SOLUTION,
    ONE_SOLUTION,
    SAMPLES,
    SEVERAL_SOLUTIONS,
    UNCOUNTED,
    Fault,
    Problem,
    Puzzle,
    Verdict,
)
from hrm_scale.puzzles.drawing import Drawing, Token, box_lines
from hrm_scale.puzzles.sudoku import solver
from hrm_scale.puzzles.sudoku.board import (
    BLANK_TOKEN,
    BLANKS,
    GEOMETRIES,
    GLYPHS,
    MAX_SIZE,
    Geometry,
    digits_in_units,
    faulty_units,
    repeated_cells,
)
from hrm_scale.puzzles.sudoku.symmetry import sudoku_symmetry
from hrm_scale.puzzles.symmetry import BoardSymmetry
from hrm_scale.puzzles.text import counted, lines_of, read_board

_DRAWN = "|-+="  # lines between boxes
_COUNTS = {0: NO_SOLUTION, 1: ONE_SOLUTION, 2: SEVERAL_SOLUTIONS, solver.UNCOUNTED: UNCOUNTED}


class Sudoku(Puzzle):
    """A board of height x height cells with boxes of box_height x box_width.

    Tokens: 1 is an empty cell, d + 1 the digit d. As text `.`, `0` or `_` and the digits (A is 10);
    white space and the box lines `|`, `-`, `+`, `=` are skipped.
    """

    kind = "sudoku"
    noun = "Sudokus"
    blank = BLANK_TOKEN
    one_solution = True
    symmetry: BoardSymmetry
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
        if not (height == width == box_height * box_width and 1 < height <= MAX_SIZE):
            raise ValueError(
                f"{height}x{width} cells with boxes of {box_height}x{box_width} are no Sudoku of"
                f" up to {MAX_SIZE}x{MAX_SIZE}"
            )
        digits = GLYPHS[1 : height + 1]
        self.tokens = (
            Token("padding"),
            Token("empty", "."),
            *(Token(digit, digit) for digit in digits),
        )
        self.symbols = range(BLANK_TOKEN + 1, len(self.tokens))
        self.boxes = (box_height, box_width)
        self.geometry = Geometry(height, box_height, box_width)
        self.symmetry = sudoku_symmetry(self.geometry)

    @classmethod
    def of_size(cls, size: int) -> Sudoku:
        if size not in GEOMETRIES:
            sizes = ", ".join(map(str, GEOMETRIES))
            raise ValueError(f"{size} is no size of a Sudoku; there are {sizes}")
        return cls.of_geometry(GEOMETRIES[size])

    @classmethod
    def of_geometry(cls, geometry: Geometry) -> Sudoku:
        return cls(**geometry.board())

    @property
    def board(self) -> dict[str, int]:
        return self.geometry.board()

    @cached_property
    def drawing(self) -> Drawing:
        lines = box_lines(self.height, self.width, *(self.boxes or (1, 1)))
        return Drawing(self.height, self.width, self.tokens, self.blank, lines=lines)

    def exactly_one(self) -> np.ndarray:
        """A digit in each cell; in each row, column and box each digit."""
        size, cells = self.height, np.arange(self.cells)
        candidates = cells[:, None] * size + np.arange(size)
        held = self.geometry.units[:, None, :] * size + np.arange(size)[:, None]
        return np.concatenate([candidates, held.reshape(-1, size)])

    # --- rules ---

    def solved(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: are all clues kept, and has every row, column and box each digit once?"""
        right = np.asarray(~_changed(inputs, answers).any(axis=1))
        right[right] = ~faulty_units(answers[right] - BLANK_TOKEN, self.geometry).any(axis=1)
        return right

    def broken(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: two equal digits in a unit, or a changed clue; empty cells break nothing."""
        again = digits_in_units(answers - BLANK_TOKEN, self.geometry)[1]
        return np.asarray(again.any(axis=1) | _changed(inputs, answers).any(axis=1))

    def faults(self, inputs: np.ndarray, answers: np.ndarray) -> list[Fault]:
        return [
            Fault(_changed(inputs, answers), "clue changed", "clues changed"),
            Fault(
                repeated_cells(answers - BLANK_TOKEN, self.geometry),
                "cell contradicts others",
                "cells contradict each other",
            ),
            Fault(
                ~self._is_digit(answers), "cell without a digit", "cells without a digit", open=True
            ),
        ]

    def problems(
        self, inputs: np.ndarray, labels: np.ndarray, *, unique: bool = False
    ) -> Iterator[tuple[int, str, str]]:
        padded = np.asarray(((inputs < BLANK_TOKEN) | (labels < BLANK_TOKEN)).any(axis=1))
        changed = _changed(inputs, labels)
        faulty = faulty_units(labels - BLANK_TOKEN, self.geometry)
        bad = padded | changed.any(axis=1) | faulty.any(axis=1)
        for row in np.flatnonzero(bad).tolist():
            if padded[row]:
                yield row, "E403", "a board holds padding"
            elif changed[row].any():
                cell = int(changed[row].argmax())
                found, clue = (self.glyph(int(board[row, cell])) for board in (labels, inputs))
                where = self.geometry.describe_cell(cell)
                text = f"the answer has {found} at {where} where the question says {clue}"
                yield row, "E402", text
            else:
                where = self.geometry.describe_unit(int(faulty[row].argmax()))
                digits = self.geometry.digits_in_words
                text = f"the answer is not a solved Sudoku: {where} does not hold {digits}"
                yield row, "E401", text
        if unique:
            good = np.flatnonzero(~bad)
            boards = inputs[good] - np.uint8(BLANK_TOKEN)
            for row in good[solver.solve(boards, self.geometry).solutions != 1].tolist():
                yield row, "E404", "the question has a second solution"

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

    def samples(self) -> list[Problem]:
        """One solved pattern under random symmetries, three of five cells shown, where that leaves
        one solution."""
        box_height, box_width = self.boxes or (1, 1)
        row, column = np.divmod(np.arange(self.cells), self.width)
        pattern = (row % box_height * box_width + row // box_height + column) % self.width
        labels = np.tile((pattern + self.symbols.start).astype(np.uint8), (8 * SAMPLES, 1))
        numbers = np.arange(1, len(labels) + 1)
        _, labels = self.symmetry.augment(labels, labels, numbers * 0, numbers, seed=0)
        hidden = draws(0, 0, labels.size).reshape(labels.shape) % np.uint64(5) < 2
        inputs = np.where(hidden, np.uint8(BLANK_TOKEN), labels)
        one = np.array([n == ONE_SOLUTION for n in self.count_solutions(list(inputs))])
        return self.named_samples(inputs[one], labels[one])

    # --- text ---

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        rows = [_characters(line) for line in lines_of(text)]
        allowed = f"the digits {self.geometry.digits_in_words} and '.', 0 or '_' for an empty cell"
        tokens = dict.fromkeys(BLANKS, BLANK_TOKEN)
        for character, digit in self.geometry.characters().items():
            tokens[character] = digit + BLANK_TOKEN
        grid = read_board(rows, (self.height, self.width), tokens, allowed, where)
        clash = repeated_cells(grid.reshape(1, -1) - BLANK_TOKEN, self.geometry)
        clash = clash.reshape(grid.shape)
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


def _changed(inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """bool [n, S]: a clue of the question that the answer does not keep."""
    return np.asarray((inputs > BLANK_TOKEN) & (inputs != answers))


def _characters(line: str) -> str:
    return "".join(c for c in line if not c.isspace() and c not in _DRAWN)
