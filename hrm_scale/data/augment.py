"""Sudoku symmetries as a pure function of (augmentation seed, group, augmentation index).

A symmetry is: digits relabelled, bands and the rows in them permuted, stacks and the columns in
them permuted, and the board transposed where its boxes are square. It is drawn uniformly from all
of them by two 64-bit numbers of the counter stream (`counter.py`)
``key = make_key(SYMMETRY, seed, group << 32 | index)``::

    d1 = mix(key + GAMMA)        digits = d1[63:32] * N! >> 32     rows = d1[31:0] * (T * R) >> 32
    d2 = mix(key + 2 * GAMMA)    columns = d2[63:32] * C >> 32

N! relabellings, R row orders and C column orders are listed in `_digit_words` and
`_line_permutations`, the identity first; T is 2 where boxes are square, else 1. With rows >= R the
board is transposed, and the row order is number rows - R. Index 0 always is the identity. New
cell (r, c) shows old cell (rows[r], columns[c]), transposed old cell (rows[c], columns[r]).

Speed: a symmetry of cells is one gather whose index is the sum of two table rows. Label and clue
travel in one byte, so that one gather moves both; a second gather relabels. Blocks fit into L2.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hrm_scale.data.counter import (
    AUGMENT_DRAW,
    GAMMA,
    SYMMETRY,
    below,
    fold_array,
    make_key,
    mix_array,
)

BLANK = 1
FIRST_DIGIT = 2
_BLOCK = 512  # examples worked on at a time: about 0.9 MB of buffers for 9x9


def augment_sudoku(
    inputs: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    augmentation_index: np.ndarray,
    seed: int,
    board: Mapping[str, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Apply symmetry number `augmentation_index` of its group to every example.

    inputs, labels: uint8 [n, size * size], tokens 1 = blank, 1 + d = digit d; labels are complete
    boards and every input token is blank or equal to the label. groups, augmentation_index:
    integers [n]. board: {"height", "width", "box_height", "box_width"}. Returns two new uint8
    arrays of the same shape. ValueError for a board that is not a Sudoku board up to 9x9.
    """
    tables = symmetry_tables(
        board["height"], board["width"], board["box_height"], board["box_width"]
    )
    count, cells = inputs.shape
    if cells != tables.cells:
        raise ValueError(f"rows have {cells} cells, the board {tables.cells}")
    new_inputs = np.empty((count, cells), np.uint8)
    new_labels = np.empty((count, cells), np.uint8)
    names = (groups.astype(np.uint64) << np.uint64(32)) | augmentation_index.astype(np.uint64)
    keys = fold_array(make_key(SYMMETRY, seed), names)
    first = mix_array(keys + np.uint64(GAMMA))
    second = mix_array(keys + np.uint64(2 * GAMMA & (1 << 64) - 1))
    identity = augmentation_index == 0
    np.copyto(first, 0, where=identity)
    np.copyto(second, 0, where=identity)
    digits = below(first, math.factorial(tables.size))
    rows = below(first << np.uint64(32), len(tables.rows))
    columns = below(second, tables.column_variants)
    columns += (rows >= tables.row_variants) * tables.column_variants
    _SCRATCH.resize(cells)
    for start in range(0, count, _BLOCK):
        part = slice(start, min(start + _BLOCK, count))
        _apply(
            tables,
            (inputs[part], labels[part]),
            (digits[part], rows[part], columns[part]),
            (new_inputs[part], new_labels[part]),
        )
    return new_inputs, new_labels


def draw_augmentations(count: int, seed: int, epoch: int, offset: int, examples: int) -> np.ndarray:
    """Augmentation index 0 ... count of each position of an epoch from `offset` on, int64 [n]."""
    offsets = np.arange(offset, offset + examples, dtype=np.uint64)
    return below(fold_array(make_key(AUGMENT_DRAW, seed, epoch), offsets), count + 1)


class _Scratch(threading.local):
    """Buffers of one block, one set per thread, reused from call to call."""

    width = 0

    def resize(self, cells: int) -> None:
        if self.width == cells:
            return
        self.width = cells
        shape = (_BLOCK, cells)
        self.cells = np.empty(shape, np.intp)
        self.old = np.empty(shape, np.uint8)
        self.new = np.empty(shape, np.uint8)
        self.shifts = np.empty(shape, np.uint32)
        self.words = np.empty(shape, np.uint32)
        # The number of each example's first cell.
        self.base = np.repeat(np.arange(_BLOCK, dtype=np.intp) * cells, cells).reshape(shape)


_SCRATCH = _Scratch()


def _apply(
    tables: SymmetryTables,
    source: tuple[np.ndarray, np.ndarray],
    ranks: tuple[np.ndarray, np.ndarray, np.ndarray],
    target: tuple[np.ndarray, np.ndarray],
) -> None:
    """One block. mode="clip" everywhere: it is the one that neither copies nor checks twice."""
    inputs, labels = source
    digits, rows, columns = ranks
    new_inputs, new_labels = target
    count = len(inputs)
    cells, old, new = _SCRATCH.cells[:count], _SCRATCH.old[:count], _SCRATCH.new[:count]
    shifts, words = _SCRATCH.shifts[:count], _SCRATCH.words[:count]
    # Which old cell each new cell shows.
    tables.rows.take(rows, axis=0, out=old, mode="clip")
    tables.columns.take(columns, axis=0, out=new, mode="clip")
    np.add(old, new, out=old)
    np.copyto(cells, old)
    np.add(cells, _SCRATCH.base[:count], out=cells)
    # One byte per old cell: 4 * (digit - 1), and 1 more where it is a clue. Then move them.
    np.not_equal(inputs, BLANK, out=new.view(np.bool_))
    np.multiply(labels, 4, out=old)
    np.add(old, new, out=old)
    np.subtract(old, 4 * FIRST_DIGIT, out=old)
    old.ravel().take(cells, out=new, mode="clip")
    # Relabel: digit d is nibble d - 1 of the word, all of them xor-ed with the ninth, so that a
    # shift by 32 (which yields 0) finds that one.
    np.bitwise_and(new, 60, out=old)
    np.copyto(shifts, old)
    words[:] = tables.digit_words.take(digits, mode="clip")[:, None]
    np.right_shift(words, shifts, out=words)
    np.copyto(old, words, casting="unsafe")
    np.bitwise_and(old, 15, out=old)
    np.bitwise_xor(old, tables.ninth_digits.take(digits, mode="clip")[:, None], out=old)
    np.add(old, FIRST_DIGIT - 1, out=new_labels)
    np.bitwise_and(new, 1, out=new)
    np.multiply(old, new, out=old)
    np.add(old, BLANK, out=new_inputs)


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
    if not (height == width == box_height * box_width and 1 < size <= 9):
        raise ValueError(
            f"{height}x{width} cells, boxes {box_height}x{box_width}: not a Sudoku of up to 9x9"
        )
    square = box_height == box_width
    rows = _line_permutations(size, box_height)
    columns = _line_permutations(size, box_width)
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


def _line_permutations(size: int, per_band: int) -> np.ndarray:
    """All orders of `size` lines that keep bands of `per_band` together; entry 0 is 0, 1, 2 ..."""
    bands = size // per_band
    orders = np.array(list(itertools.permutations(range(bands))))
    inner = np.array(list(itertools.permutations(range(per_band))))
    choices = inner[np.array(list(itertools.product(range(len(inner)), repeat=bands)))]
    # [order of the bands, orders inside them, band, line]
    return (orders[:, None, :, None] * per_band + choices).reshape(-1, size)


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
