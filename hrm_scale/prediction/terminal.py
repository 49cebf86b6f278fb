"""Boards in a terminal: two columns a cell, in colours where they are wanted.

Without colours a wrong cell has `!` behind it, a cell that has just changed `*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.boards import ArcBoard, Board, MazeBoard, SudokuBoard
from hrm_scale.data.maze_paths import FREE, GOAL, PATH, START, WALL

_GAP = "   "
_END = "\x1b[0m"
_BOLD, _RED, _GREEN, _YELLOW = "1", "1;31", "32", "1;33"
# The official colours, as near as the 256 of a terminal come.
_ARC = (16, 32, 203, 41, 220, 248, 199, 208, 117, 88)
_ON_DARK, _ON_LIGHT = "1;38;5;231", "1;38;5;16"
_DARK_ARC = (0, 1, 9)
_MAZE = {WALL: "48;5;240", PATH: "48;5;33", START: "48;5;28", GOAL: "48;5;162"}
_WRONG_GROUND, _CHANGED_GROUND = "48;5;196", "48;5;214"


@dataclass(frozen=True)
class Block:
    """Lines of text, `width` columns each on the screen, whatever codes are in them."""

    lines: list[str]
    width: int

    def titled(self, *titles: str) -> Block:
        width = max(self.width, *map(len, titles))
        padding = " " * (width - self.width)
        own = [line + padding for line in self.lines]
        return Block([*(title.ljust(width) for title in titles), *own], width)


@dataclass(frozen=True)
class Marks:
    """What is special about cells: bool [h, w] each, or None."""

    given: np.ndarray | None = None
    wrong: np.ndarray | None = None
    changed: np.ndarray | None = None

    def at(self, row: int, column: int) -> tuple[bool, bool, bool]:
        masks = (self.given, self.wrong, self.changed)
        return tuple(mask is not None and bool(mask[row, column]) for mask in masks)  # type: ignore[return-value]


def draw(board: Board, grid: np.ndarray, marks: Marks, *, color: bool, boxes: bool = True) -> Block:
    """A grid of tokens as text. boxes: lines between the boxes of a Sudoku."""
    cell = {SudokuBoard: _sudoku_cell, MazeBoard: _maze_cell, ArcBoard: _arc_cell}[type(board)]
    rows = [
        [
            cell(board, int(token), marks.at(row, column), color)
            for column, token in enumerate(tokens)
        ]
        for row, tokens in enumerate(grid.tolist())
    ]
    if boxes and board.boxes is not None:
        return _boxed(rows, *board.boxes)
    if not grid.size:
        return Block(["(no grid)"], len("(no grid)"))
    return Block(["".join(row) for row in rows], 2 * grid.shape[1])


def beside(blocks: Sequence[Block], columns: int) -> str:
    """Blocks side by side, as many as fit into so many columns, the others below."""
    bands: list[list[Block]] = []
    used = 0
    for block in blocks:
        if not bands or used + len(_GAP) + block.width > columns:
            bands.append([])
            used = -len(_GAP)
        bands[-1].append(block)
        used += len(_GAP) + block.width
    return "\n\n".join(map(_band, bands))


def _band(blocks: Sequence[Block]) -> str:
    height = max(len(block.lines) for block in blocks)
    lines = []
    for at in range(height):
        parts = [b.lines[at] if at < len(b.lines) else " " * b.width for b in blocks]
        lines.append(_GAP.join(parts).rstrip(" "))
    return "\n".join(lines)


def _boxed(rows: list[list[str]], height: int, width: int) -> Block:
    """Rows of cells with lines between boxes of height x width cells."""
    count = len(rows[0]) // width
    rule = "+".join(["-" * (2 * width + 1)] * count)
    lines = []
    for at, row in enumerate(rows):
        if at and at % height == 0:
            lines.append(rule)
        parts = ("".join(row[i : i + width]) for i in range(0, len(row), width))
        lines.append("|".join(f" {part}" for part in parts))
    return Block(lines, len(rule))


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}{_END}"


def _mark(wrong: bool, changed: bool) -> str:
    return "!" if wrong else "*" if changed else " "


def _sudoku_cell(board: Board, token: int, marks: tuple[bool, bool, bool], color: bool) -> str:
    given, wrong, changed = marks
    symbol, mark = board.symbol(token), _mark(wrong, changed)
    if not color or symbol == ".":
        return symbol + mark
    code = _RED if wrong else _YELLOW if changed else _BOLD if given else _GREEN
    return _paint(symbol, code) + mark


def _maze_cell(board: Board, token: int, marks: tuple[bool, bool, bool], color: bool) -> str:
    _, wrong, changed = marks
    symbol, mark = board.symbol(token), _mark(wrong, changed)
    if not color:
        return "##" if symbol + mark == "# " else symbol + mark
    shown = symbol if token in (START, GOAL) else " "
    ground = _WRONG_GROUND if wrong else _CHANGED_GROUND if changed else _MAZE.get(token)
    if ground is None:
        return "  " if token == FREE else symbol + " "
    return _paint(shown + mark, f"{ground};{_ON_DARK}")


def _arc_cell(board: Board, token: int, marks: tuple[bool, bool, bool], color: bool) -> str:
    _, wrong, changed = marks
    symbol, mark = board.symbol(token), _mark(wrong, changed)
    if not color or not symbol.isdigit():
        return symbol + mark
    ink = _ON_DARK if int(symbol) in _DARK_ARC else _ON_LIGHT
    return _paint(f" {mark}", f"48;5;{_ARC[int(symbol)]};{ink}")
