"""Sudoku boards as text: reading a puzzle, finding contradictions, drawing question and answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hrm_scale.errors import DataError

BLANK_TOKEN = 1
"""Token of an empty cell; digit d is token d + 1, padding is 0."""


def parse_puzzle(text: str, board: Mapping[str, int], source: str) -> np.ndarray:
    """Digits uint8 [cells] of a puzzle written row by row, 0 for `.` or `0`; white space and the
    box lines `|`, `-`, `+` are skipped. Raises DataError naming `source`."""
    size, cells = board["height"], board["height"] * board["width"]
    symbols = [c for c in text if not c.isspace() and c not in "|-+"]
    allowed = "." + "0123456789"[: size + 1]
    for number, symbol in enumerate(symbols, start=1):
        if symbol not in allowed:
            raise DataError(
                f"{source}: character {number} of the puzzle is {symbol!r}; allowed are the digits"
                f" 1 to {size} and '.' or 0 for an empty cell"
            )
    if len(symbols) != cells:
        raise DataError(
            f"{source}: the puzzle has {len(symbols)} cells, the checkpoint solves boards of"
            f" {cells} ({size} x {size}): write them row by row, '.' for an empty cell"
        )
    digits = np.array([0 if c == "." else int(c) for c in symbols], dtype=np.uint8)
    clash = contradictions(digits, board)
    if clash.any():
        row, column = divmod(int(clash.argmax()), board["width"])
        raise DataError(
            f"{source}: the clues contradict each other: the {digits[clash.argmax()]} in row"
            f" {row + 1}, column {column + 1} stands twice in its row, column or box"
        )
    return digits


def contradictions(digits: np.ndarray, board: Mapping[str, int]) -> np.ndarray:
    """bool [cells]: the cell's digit stands again in its row, column or box (blanks never do)."""
    height, width = board["height"], board["width"]
    cell = np.arange(height * width)
    row, column = np.divmod(cell, width)
    box = row // board["box_height"] * (width // board["box_width"]) + column // board["box_width"]
    same = digits[:, None] == digits[None, :]
    seen = ((row[:, None] == row) | (column[:, None] == column) | (box[:, None] == box)) & ~np.eye(
        height * width, dtype=bool
    )
    return (same & seen).any(1) & (digits > 0)


def draw(
    question: np.ndarray,
    answer: np.ndarray,
    wrong: np.ndarray,
    board: Mapping[str, int],
    color: bool,
) -> str:
    """Question and answer side by side; clues are bold, cells of `wrong` red and marked `!`."""
    height, width, box = board["height"], board["width"], board["box_width"]
    rule = "+".join(["-" * (2 * box + 1)] * (width // box))
    lines = []
    for row in range(height):
        if row and row % board["box_height"] == 0:
            lines.append(f"{rule}     {rule}")
        cells = range(row * width, (row + 1) * width)
        left = [f"{question[at]} " if question[at] else ". " for at in cells]
        # A wrong cell's mark takes the place of the space behind it.
        right = [_cell(int(answer[at]), bool(question[at]), bool(wrong[at]), color) for at in cells]
        lines.append(f"{_boxes(left, box)}     {_boxes(right, box)}".rstrip())
    return "\n".join(lines)


def _boxes(cells: list[str], box: int) -> str:
    """The cells of a row, with a bar between boxes."""
    return "|".join(" " + "".join(cells[i : i + box]) for i in range(0, len(cells), box))


def _cell(digit: int, clue: bool, wrong: bool, color: bool) -> str:
    text = str(digit) if digit > 0 else "?"
    if not color:
        return text + ("!" if wrong else " ")
    style = "\x1b[1;31m" if wrong else "\x1b[1m" if clue else "\x1b[32m"
    return f"{style}{text}\x1b[0m" + ("!" if wrong else " ")
