"""Boards in a terminal: two columns a cell, in colours where they are wanted.

Without colours a wrong cell has `!` behind it, a cell that has just changed `*`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.puzzles.base import Puzzle
from hrm_scale.puzzles.drawing import Token

_GAP = "   "
_END = "\x1b[0m"
_BOLD, _RED, _GREEN, _YELLOW = "1", "1;31", "32", "1;33"
_ON_DARK, _ON_LIGHT = "1;38;5;231", "1;38;5;16"
_ROLES = {"wall": 240, "path": 33, "start": 28, "goal": 162}
_HIDDEN = ("wall", "path")
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


def draw(
    board: Puzzle,
    grid: np.ndarray,
    marks: Marks,
    *,
    color: bool,
    lines: bool = True,
    question: np.ndarray | None = None,
) -> Block:
    """A grid of tokens as text. lines: those between boxes. question: the grid that it answers,
    whose fills show through where the board's drawing says so."""
    if not grid.size:
        return Block(["(no grid)"], len("(no grid)"))
    behind = grid if question is None or not board.drawing.background else question
    rows = [
        [
            _cell(board, (int(token), int(behind[row, column])), marks.at(row, column), color)
            for column, token in enumerate(tokens)
        ]
        for row, tokens in enumerate(grid.tolist())
    ]
    if lines and board.boxes is not None:
        return _boxed(rows, *board.boxes)
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


def _cell(
    board: Puzzle, tokens: tuple[int, int], marks: tuple[bool, bool, bool], color: bool
) -> str:
    """Two columns of a cell that shows the first token on the ground of the second."""
    given, wrong, changed = marks
    glyph, mark = board.glyph(tokens[0]), _mark(wrong, changed)
    own, behind = (_fill(board, token) for token in tokens)
    if not color:
        return "##" if own == "wall" and mark == " " else glyph + mark
    ground = _WRONG_GROUND if wrong else _CHANGED_GROUND if changed else ""
    if not (own or behind):
        if glyph == "." or tokens[0] == board.blank:
            return glyph + mark
        return (
            _paint(glyph, _RED if wrong else _YELLOW if changed else _BOLD if given else _GREEN)
            + mark
        )
    # A colour of its own says all that the glyph says, unless the glyph has a colour as well.
    hidden = (own.startswith("#") and not board.tokens[tokens[0]].ink) or own in _HIDDEN
    if own in ("wall", "path", "start", "goal"):
        code = ground or f"48;5;{_ROLES[own]}"
        return _paint((" " if hidden else glyph) + mark, f"{code};{_ON_DARK}")
    if own == "floor":
        return _paint(f" {mark}", f"{ground};{_ON_DARK}") if ground else "  "
    number, dark = nearest_of_256(own or behind)
    return _paint(
        f"{' ' if hidden else glyph}{mark}", f"48;5;{number};{_ON_DARK if dark else _ON_LIGHT}"
    )


def _fill(board: Puzzle, token: int) -> str:
    tokens: tuple[Token, ...] = board.tokens
    return tokens[token].fill if token < len(tokens) else ""


@functools.cache
def nearest_of_256(colour: str) -> tuple[int, bool]:
    """The nearest of a terminal's 256 colours to "#rrggbb", and whether that is a dark one."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    steps = (0, 95, 135, 175, 215, 255)
    cube = {
        16 + 36 * r + 6 * g + b: (steps[r], steps[g], steps[b])
        for r in range(6)
        for g in range(6)
        for b in range(6)
    }
    greys = {232 + n: (8 + 10 * n,) * 3 for n in range(24)}
    every = {**cube, **greys}
    number = min(
        every,
        key=lambda n: sum((x - y) ** 2 for x, y in zip(every[n], (red, green, blue), strict=True)),
    )
    return number, 299 * red + 587 * green + 114 * blue < 110_000
