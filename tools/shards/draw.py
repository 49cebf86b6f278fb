"""Examples as text: ARC grids in colour or digits, Sudoku boards in boxes, mazes in glyphs."""

from __future__ import annotations

import numpy as np

from hrm_scale.data import DatasetMeta

from .examples import Example
from .sudoku import geometry_of, side_by_side

# The official colours of ARC, 0 ... 9.
ARC_PALETTE = (
    (0, 0, 0), (0, 116, 217), (255, 65, 54), (46, 204, 64), (255, 220, 0),
    (170, 170, 170), (240, 18, 190), (255, 133, 27), (127, 219, 255), (135, 12, 37),
)  # fmt: skip
_MAZE = "?# SGo"
_MAZE_COLOURS = {1: "2", 3: "1;32", 4: "1;31", 5: "1;33"}
_GAP = "   "


def draw_pair(example: Example, meta: DatasetMeta, *, colour: bool) -> list[str]:
    """Question and answer side by side, as lines. colour: with the terminal's escape codes."""
    if meta.kind == "sudoku":
        return side_by_side(example.inputs, example.labels, geometry_of(meta))
    if meta.kind == "arc" and example.grids is not None:
        left, right = (_arc_lines(grid, colour=colour) for grid in example.grids)
        widths = [2 * grid.shape[1] for grid in example.grids]
    else:
        sides = meta.board.get("height", 1), meta.board.get("width", meta.seq_len)
        boards = [np.asarray(x).reshape(-1, sides[1]) for x in (example.inputs, example.labels)]
        draw = _maze_line if meta.kind == "maze" else _token_line
        left, right = ([draw(row, colour=colour) for row in board] for board in boards)
        widths = [len(draw(board[0], colour=False)) for board in boards]
    lines = []
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else " " * widths[0]
        second = right[number] if number < len(right) else ""
        lines.append(f"{first}{_GAP}{second}".rstrip())
    return lines


def _arc_lines(grid: np.ndarray, *, colour: bool) -> list[str]:
    if not colour:
        return ["".join(f"{'.' if cell == 0 else cell} " for cell in row) for row in grid.tolist()]
    return ["".join(_block(cell) for cell in row) + "\x1b[0m" for row in grid.tolist()]


def _block(cell: int) -> str:
    red, green, blue = ARC_PALETTE[cell]
    return f"\x1b[48;2;{red};{green};{blue}m  "


def _maze_line(row: np.ndarray, *, colour: bool) -> str:
    glyphs = []
    for token in row.tolist():
        glyph = _MAZE[token] if token < len(_MAZE) else "?"
        paint = _MAZE_COLOURS.get(token) if colour else None
        glyphs.append(f"\x1b[{paint}m{glyph}\x1b[0m" if paint else glyph)
    return "".join(glyphs)


def _token_line(row: np.ndarray, *, colour: bool) -> str:
    return " ".join(f"{token:>2}" for token in row.tolist())
