"""Sudoku boards: sizes, characters, and the checks every puzzle must pass.

Boards are `uint8 [n, cells]`, row-major, 0 for a blank cell and 1..size for a digit. On disk a
token is one more than that (0 is padding, 1 a blank cell, 1 + d the digit d).
"""

from __future__ import annotations

import numpy as np

from hrm_scale.puzzles.sudoku.solver import Geometry

TOKEN_OFFSET = 1
BLANKS = "._0"
SYMBOLS = ".123456789ABCDEFG"
"""How a blank cell and the digits 1 ... 16 are written."""
MAX_SIZE = len(SYMBOLS) - 1

_SHAPES = ((4, 2, 2), (6, 2, 3), (8, 2, 4), (9, 3, 3), (10, 2, 5), (12, 3, 4), (16, 4, 4))
GEOMETRIES = {shape[0]: Geometry(*shape) for shape in _SHAPES}
GEOMETRY_OF_LENGTH = {geometry.cells: geometry for geometry in GEOMETRIES.values()}


def symbol(value: int) -> str:
    """How a cell's value is written; `?` for one that is no digit."""
    return SYMBOLS[value] if 0 <= value < len(SYMBOLS) else "?"


def span(geometry: Geometry) -> str:
    """The symbols of a board in words, such as `1-9` or `1-9 and A-G`."""
    last = SYMBOLS[geometry.size]
    return f"1-{last}" if geometry.size <= 9 else f"1-9 and A-{last}"


def describe_unit(geometry: Geometry, unit: int) -> str:
    """`row 3`, `column 1` or `box 9`, counted from 1, for a row of `Geometry.units`."""
    kind, number = divmod(unit, geometry.size)
    return f"{('row', 'column', 'box')[kind]} {number + 1}"


def describe_cell(geometry: Geometry, cell: int) -> str:
    row, column = divmod(cell, geometry.size)
    return f"row {row + 1}, column {column + 1}"


def faulty_units(answers: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Per board and unit, whether the unit does *not* hold every digit once: bool `[n, 3 * size]`.

    `answers` is `uint8 [n, cells]`; a value outside 1..size makes its units faulty.
    """
    inside = (answers >= 1) & (answers <= geometry.size)
    bits = np.where(inside, np.uint32(1) << answers.clip(0, 31).astype(np.uint32), 0)
    seen = np.bitwise_or.reduce(bits[:, geometry.units()], axis=2)
    return seen != (1 << (geometry.size + 1)) - 2


def contradicted_cells(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Per board and cell, whether a clue of the question is not kept by the answer: bool."""
    return (questions != 0) & (questions != answers)


def puzzle_problem(question: np.ndarray, answer: np.ndarray, geometry: Geometry) -> str | None:
    """What is wrong with one pair of boards (`[cells]` each) in words, or None."""
    lost = np.flatnonzero(contradicted_cells(question[None], answer[None])[0])
    if lost.size:
        cell = int(lost[0])
        where = describe_cell(geometry, cell)
        found, clue = symbol(int(answer[cell])), symbol(int(question[cell]))
        return f"the answer has {found} at {where} where the question says {clue}"
    faulty = np.flatnonzero(faulty_units(answer[None], geometry)[0])
    if faulty.size:
        where = describe_unit(geometry, int(faulty[0]))
        return f"the answer is not a solved Sudoku: {where} does not hold {span(geometry)}"
    return None


def draw(board: np.ndarray, geometry: Geometry) -> list[str]:
    """A board (`[cells]`) as lines of text with box lines; a blank is a dot."""
    glyphs = np.array([symbol(value) for value in board.tolist()]).reshape(geometry.size, -1)
    width = geometry.box_width
    rule = "+".join(["-" * (2 * width + 1)] * geometry.stacks)
    lines = [f"+{rule}+"]
    for index, row in enumerate(glyphs):
        parts = [" ".join(row[i : i + width]) for i in range(0, geometry.size, width)]
        lines.append("| " + " | ".join(parts) + " |")
        if (index + 1) % geometry.box_height == 0:
            lines.append(f"+{rule}+")
    return lines
