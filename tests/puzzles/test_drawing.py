"""Which grid of a board's tokens is drawn."""

from __future__ import annotations

import numpy as np

from hrm_scale.puzzles.arc.grid import encode
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.unknown import unknown


def test_of_a_frame_only_the_grid_is_drawn_wherever_it_lies() -> None:
    grid = np.array([[0, 3, 0], [9, 0, 0]], np.uint8)
    for corner in ((0, 0), (7, 20)):
        assert (Arc().drawing.grid(encode(grid, *corner)) == grid + 2).all()
    assert Arc().drawing.grid(np.zeros(900, np.uint8)).shape == (0, 0)


def test_other_boards_are_drawn_whole() -> None:
    tokens = np.arange(9, dtype=np.uint8) % 6
    assert (Maze(3, 3).drawing.grid(tokens) == tokens.reshape(3, 3)).all()


def test_tokens_that_fill_no_rectangle_end_with_zeros() -> None:
    drawn = unknown({}, cells=7, tokens=9).drawing.grid(np.arange(1, 8, dtype=np.uint8))
    assert drawn.ravel()[:7].tolist() == list(range(1, 8))
    assert not drawn.ravel()[7:].any()
    assert drawn.size > 7


def test_no_two_tokens_of_unknown_boards_look_alike() -> None:
    drawn = [unknown({}, cells=9, tokens=80).glyph(token) for token in range(80)]
    known = [glyph for glyph in drawn if glyph != "?"]
    assert len(known) == len(set(known)) > 30
