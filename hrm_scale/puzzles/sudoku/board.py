"""Sudoku boards: sizes, characters and units.

Boards are `[n, cells]`, row-major. As digits a cell is 0 where it is blank, else 1 ... size; as
tokens it is one more (0 is padding).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

BLANK_TOKEN = 1
"""Token of a blank cell; digit d is token d + 1."""
GLYPHS = ".123456789ABCDEFG"
"""How a blank cell and the digits 1 ... 16 are written."""
BLANKS = "._0"
MAX_SIZE = len(GLYPHS) - 1


@dataclass(frozen=True)
class Geometry:
    """A board of size x size cells with boxes of `box_height` rows and `box_width` columns."""

    size: int
    box_height: int
    box_width: int

    @property
    def cells(self) -> int:
        return self.size * self.size

    @property
    def bands(self) -> int:
        """Number of bands: groups of `box_height` rows."""
        return self.size // self.box_height

    @property
    def stacks(self) -> int:
        """Number of stacks: groups of `box_width` columns."""
        return self.size // self.box_width

    @property
    def square_boxes(self) -> bool:
        """Whether transposing a board gives a board of the same kind."""
        return self.box_height == self.box_width

    @property
    def vocab_size(self) -> int:
        return self.size + 2

    def board(self) -> dict[str, int]:
        """The `board` entry of dataset.json."""
        return {
            "height": self.size,
            "width": self.size,
            "box_height": self.box_height,
            "box_width": self.box_width,
        }

    @functools.cached_property
    def units(self) -> np.ndarray:
        """Cell indices `[3 * size, size]` of all rows, columns and boxes, in this order."""
        cells = np.arange(self.cells).reshape(self.bands, self.box_height, self.stacks, -1)
        rows = cells.reshape(self.size, self.size)
        boxes = cells.transpose(0, 2, 1, 3).reshape(self.size, self.size)
        return np.concatenate([rows, rows.T, boxes])

    @functools.cached_property
    def units_of_cells(self) -> np.ndarray:
        """Numbers of the row, column and box of each cell, `[3, cells]`."""
        places = np.argsort(self.units.reshape(3, -1), axis=1) // self.size
        return places + np.arange(3)[:, None] * self.size

    def describe_unit(self, unit: int) -> str:
        """`row 3`, `column 1` or `box 9`, counted from 1, for a row of `units`."""
        kind, number = divmod(unit, self.size)
        return f"{('row', 'column', 'box')[kind]} {number + 1}"

    def describe_cell(self, cell: int) -> str:
        row, column = divmod(cell, self.size)
        return f"row {row + 1}, column {column + 1}"

    @property
    def digits_in_words(self) -> str:
        """`1 to 9`, or `1 to 9 and A to G`."""
        last = GLYPHS[self.size]
        return f"1 to {last}" if self.size <= 9 else f"1 to 9 and A to {last}"

    def characters(self) -> dict[str, int]:
        """The digit of each character that stands for one, letters in either case."""
        digits = {GLYPHS[digit]: digit for digit in range(1, self.size + 1)}
        return {**digits, **{glyph.lower(): digit for glyph, digit in digits.items()}}


_SHAPES = ((4, 2, 2), (6, 2, 3), (8, 2, 4), (9, 3, 3), (10, 2, 5), (12, 3, 4), (16, 4, 4))
GEOMETRIES = {shape[0]: Geometry(*shape) for shape in _SHAPES}
"""The usual board of each size."""


def digits_in_units(digits: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Per board and unit, bit d for a digit d seen once or more, and for one seen again.

    digits: any integers `[n, cells]`; those outside 1 ... size are left out. uint32
    `[n, 3 * size]` each.
    """
    inside = (digits >= 1) & (digits <= geometry.size)
    bits = np.where(inside, np.uint32(1) << digits.clip(0, 31).astype(np.uint32), np.uint32(0))
    members = bits.T[geometry.units.T]
    seen, again = members[0].copy(), np.zeros_like(members[0])
    for member in members[1:]:
        again |= seen & member
        seen |= member
    return seen.T, again.T


def faulty_units(digits: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Per board and unit, whether it does *not* hold every digit once: bool `[n, 3 * size]`."""
    return digits_in_units(digits, geometry)[0] != (1 << (geometry.size + 1)) - 2


def repeated_cells(digits: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Per board and cell, whether its digit stands again in its row, column or box: bool."""
    again = digits_in_units(digits, geometry)[1]
    near = np.bitwise_or.reduce(again[:, geometry.units_of_cells], axis=1)
    return (near >> digits.clip(0, 31).astype(np.uint32)) & np.uint32(1) != 0
