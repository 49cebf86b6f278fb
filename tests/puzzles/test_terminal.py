"""Boards drawn in a terminal."""

from __future__ import annotations

import numpy as np

from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.terminal import Block, Marks, beside, draw
from hrm_scale.puzzles.unknown import unknown


def test_blocks_wrap_where_the_terminal_ends() -> None:
    blocks = [Block([letter * 4] * rows, 4) for letter, rows in (("a", 2), ("b", 1), ("c", 1))]
    assert beside(blocks, 11) == "aaaa   bbbb\naaaa\n\ncccc"
    assert beside(blocks, 3) == "aaaa\naaaa\n\nbbbb\n\ncccc"
    four = Sudoku(4, 4, 2, 2)
    assert draw(four, np.ones((4, 4), np.uint8), Marks(), color=False).width == 11


def test_a_colour_stands_for_the_glyph_unless_both_are_given() -> None:
    for puzzle, token, shown in ((Arc(), 5, False), (unknown({}, 9, 9), 5, True)):
        (line,) = draw(puzzle, np.full((1, 1), token, np.uint8), Marks(), color=True).lines
        assert "\x1b[48;5;" in line
        assert (f"m{puzzle.glyph(token)} " in line) == shown
