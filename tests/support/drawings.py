"""Drawings of four kinds of puzzle, as pages get them, with a question and an answer of each."""

from __future__ import annotations

from typing import Any

from hrm_scale.puzzles import REGIONS, Drawing, Token
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

Json = dict[str, Any]


SUDOKU = Sudoku.of_size(4).drawing.as_json()
MAZE = Maze.of_size(5).drawing.as_json()
FRAME = Arc().drawing.as_json()
QUEENS = Drawing(
    4,
    4,
    (
        Token("padding"),
        *(Token(f"region {letter}", letter, REGIONS[n]) for n, letter in enumerate("ABCD")),
        Token("no queen", "-"),
        Token("queen", "♛"),
    ),
    background=True,
    regions=True,
).as_json()
DRAWINGS = {"sudoku": SUDOKU, "maze": MAZE, "arc": FRAME, "queens": QUEENS}


def tokens_of(drawn: Json, text: str) -> list[int]:
    glyphs = [one["glyph"] for one in drawn["tokens"]]
    return [glyphs.index(c) for c in text]


def framed(rows: list[str], top: int = 0, left: int = 0) -> list[int]:
    """A grid of colours in its frame, with the marks at its end."""
    cells = [0] * 900
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            cells[(top + r) * 30 + left + c] = int(value) + 2
    for c in range(len(rows[0]) + 1):
        cells[(top + len(rows)) * 30 + left + c] = 1
    for r in range(len(rows)):
        cells[(top + r) * 30 + left + len(rows[0])] = 1
    return cells


QUESTIONS = {
    "sudoku": tokens_of(SUDOKU, "1..4..1..1..4..1"),
    "maze": tokens_of(MAZE, "S   #" + "# # #" + "  # G" + " ##  " + "     "),
    "arc": framed(["0123", "4567", "8901"], 2, 3),
    "queens": tokens_of(QUEENS, "AABB" + "ACBB" + "CCDD" + "CCDD"),
}
ANSWERS = {
    "sudoku": [*tokens_of(SUDOKU, "124434122143"), 99, 1, *tokens_of(SUDOKU, "21")],
    "maze": tokens_of(MAZE, "So  #" + "#o# #" + " o#oG" + " ##o " + "     "),
    "arc": framed(["0123", "4564", "8901"], 2, 3),
    "queens": tokens_of(QUEENS, "-♛--" + "---♛" + "♛---" + "--♛-"),
}
