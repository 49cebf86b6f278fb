"""Drawings of four kinds of puzzle, as pages get them, with a question and an answer of each."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
ARC = ["#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00"]
ARC += ["#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25"]
REGIONS = ["#f4a6a0", "#a8c8f0", "#b5dba8", "#f3d98b"]


def token(name: str, glyph: str = "", fill: str = "", ink: str = "") -> Json:
    return {"name": name, "glyph": glyph, "fill": fill, "ink": ink}


def drawing(height: int, width: int, tokens: list[Json], **changes: Any) -> Json:
    plain = {"blank": None, "background": False, "lines": [], "regions": False, "path": []}
    sides = {"height": height, "width": width, "tokens": [token("padding"), *tokens]}
    return {**sides, **plain, "crop": False, **changes}


SUDOKU = drawing(
    4,
    4,
    [token("empty", "."), *(token(f"digit {d}", str(d)) for d in range(1, 5))],
    blank=1,
    lines=[[2, 0, 2, 4], [0, 2, 4, 2]],
)
MAZE = drawing(
    5,
    5,
    [
        token("wall", "#", "wall"),
        token("free", " ", "floor"),
        token("start", "S", "start"),
        token("goal", "G", "goal"),
        token("path", "o", "path"),
    ],
    blank=2,
    path=[5, 3, 4],
)
FRAME = drawing(
    30,
    30,
    [token("end of line"), *(token(f"colour {n}", str(n), fill) for n, fill in enumerate(ARC))],
    crop=True,
)
QUEENS = drawing(
    4,
    4,
    [
        *(token(f"region {letter}", letter, REGIONS[n]) for n, letter in enumerate("ABCD")),
        token("no queen", "-"),
        token("queen", "♛"),
    ],
    background=True,
    regions=True,
)
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
