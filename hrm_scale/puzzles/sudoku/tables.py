"""Lists of all Sudoku symmetries of a board, in the form the augmentation kernel gathers from."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from hrm_scale.puzzles.symmetry import line_orders

MAX_TABLED = 9
"""Larger boards have too many relabellings to list."""


@dataclass(frozen=True)
class SymmetryTables:
    """rows, columns: uint8 [variants (twice with transposition), cells], the part that the row
    and the column of the old cell have in its number. digit_words: uint32 [N!] and ninth_digits:
    uint8 [N!]: `_digit_words`.
    """

    size: int
    row_variants: int
    column_variants: int
    rows: np.ndarray
    columns: np.ndarray
    digit_words: np.ndarray
    ninth_digits: np.ndarray

    @property
    def cells(self) -> int:
        return self.size * self.size


@functools.cache
def symmetry_tables(height: int, width: int, box_height: int, box_width: int) -> SymmetryTables:
    """Tables of a board; ValueError unless it is a Sudoku board of at most 9x9 cells."""
    size = height
    if not (height == width == box_height * box_width and 1 < size <= MAX_TABLED):
        raise ValueError(
            f"{height}x{width} cells, boxes {box_height}x{box_width}: not a Sudoku of up to 9x9"
        )
    square = box_height == box_width
    rows = line_orders(size, box_height)
    columns = line_orders(size, box_width)
    # Cell k of the new board lies in row k // size and column k % size.
    by_row, by_column = np.arange(size * size) // size, np.arange(size * size) % size
    row_table = [rows[:, by_row] * size]
    column_table = [columns[:, by_column]]
    if square:
        row_table.append(rows[:, by_column] * size)
        column_table.append(columns[:, by_row])
    digit_words, ninth_digits = _digit_words(size)
    return SymmetryTables(
        size=size,
        row_variants=len(rows),
        column_variants=len(columns),
        rows=np.ascontiguousarray(np.concatenate(row_table), np.uint8),
        columns=np.ascontiguousarray(np.concatenate(column_table), np.uint8),
        digit_words=digit_words,
        ninth_digits=ninth_digits,
    )


def _digit_words(size: int) -> tuple[np.ndarray, np.ndarray]:
    """All relabellings in lexicographic order: uint32 [size!] and uint8 [size!].

    New digits of the old digits 1 ... 8 as nibbles from the low end, each xor-ed with the new
    digit of the old digit 9; and that digit (0 where there are fewer than nine).
    """
    # A relabelling is the choice of its first digits and an order of those that are left.
    chosen = min(4, size)
    heads = np.array(list(itertools.permutations(range(1, size + 1), chosen)), np.uint32)
    left = np.ones((len(heads), size + 1), np.bool_)
    left[:, 0] = False
    np.put_along_axis(left, heads.astype(np.intp), False, axis=1)
    rest = np.nonzero(left)[1].reshape(len(heads), size - chosen).astype(np.uint32)
    orders = np.array(list(itertools.permutations(range(size - chosen))), np.intp)
    nibble = np.arange(chosen, dtype=np.uint32) * np.uint32(4)
    first = np.bitwise_or.reduce(heads << nibble, axis=1)
    words = np.repeat(first[:, None], len(orders), axis=1)
    for position in range(chosen, min(size, 8)):
        words |= (rest << np.uint32(4 * position))[:, orders[:, position - chosen]]
    if size < 9:
        return words.ravel(), np.zeros(words.size, np.uint8)
    last = orders[:, -1]
    words ^= (rest * np.uint32(0x11111111))[:, last]
    return words.ravel(), rest.astype(np.uint8)[:, last].ravel()
