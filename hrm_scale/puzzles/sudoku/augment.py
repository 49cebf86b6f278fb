"""Sudoku symmetries as a pure function of (augmentation seed, group, augmentation index).

A symmetry is: digits relabelled, bands and the rows in them permuted, stacks and the columns in
them permuted, and the board transposed where its boxes are square. It is drawn uniformly from all
of them by one key of the counter stream (`counter.py`)
``key = make_key(SYMMETRY, seed, group << 32 | index)``::

    digits = key[63:32] * N! >> 32
    rows = key[31:0] * (T * R) >> 32
    columns = mix(key + GAMMA)[63:32] * C >> 32

N! relabellings, R row orders and C column orders are listed in `tables.py`, the identity
first; T is 2 where boxes are square, else 1. With rows >= R the board is transposed, and the row
order is number rows - R. Index 0 always is the identity. New cell (r, c) shows old cell
(rows[r], columns[c]), or transposed old cell (rows[c], columns[r]).

Speed: a symmetry of cells is one gather whose index is the sum of two table rows; label and clue
travel in one byte, so that one gather moves both. Relabelling needs no gather: a board's new
digits are nibbles of a 32-bit word that is shifted. Blocks fit into the second-level cache.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from hrm_scale.base.counter import GAMMA, below, mix_array
from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN
from hrm_scale.puzzles.sudoku.tables import SymmetryTables
from hrm_scale.puzzles.symmetry import symmetry_keys

_BLOCK = 512  # examples worked on at a time: about 0.9 MB of buffers for 9x9


def pack_sudoku(inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Label and clue of every cell in one byte: 4 * (digit - 1), and 1 more for a clue.

    inputs, labels: uint8 [n, cells] of tokens; labels are complete boards and every input token is
    blank or equal to the label.
    """
    packed = np.not_equal(inputs, BLANK_TOKEN).view(np.uint8)
    packed += labels * np.uint8(4)
    packed -= np.uint8(4 * (BLANK_TOKEN + 1))
    return packed


def augment_packed(
    tables: SymmetryTables,
    packed: np.ndarray,
    rows: np.ndarray,
    groups: np.ndarray,
    augmentation_index: np.ndarray,
    seed: int,
    out: tuple[np.ndarray, np.ndarray],
) -> None:
    """Apply symmetry number `augmentation_index` of its group to each of the rows `rows` (int64
    [n]) of a C-contiguous table that `pack_sudoku` made.

    groups, augmentation_index: integers [n]. out: (new inputs, new labels), uint8 [n, cells],
    written in place.
    """
    if packed.shape[1] != tables.cells:
        raise ValueError(f"rows have {packed.shape[1]} cells, the board {tables.cells}")
    digits, row_orders, columns = draw_numbers(tables, groups, augmentation_index, seed)
    starts = rows * tables.cells
    _SCRATCH.resize(tables.cells)
    source = packed.ravel()
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(rows)))
        ranks = (digits[part], row_orders[part], columns[part])
        _apply(tables, source, starts[part], ranks, (out[0][part], out[1][part]))


def draw_numbers(
    tables: SymmetryTables, groups: np.ndarray, augmentation_index: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the relabelling, the row order and the column order in the tables, int64 [n]."""
    first = symmetry_keys(groups, augmentation_index, seed)
    second = mix_array(first + np.uint64(GAMMA))
    identity = augmentation_index == 0
    np.copyto(first, 0, where=identity)
    np.copyto(second, 0, where=identity)
    digits = below(first, math.factorial(tables.size))
    row_orders = below(first << np.uint64(32), len(tables.rows))
    columns = below(second, tables.column_variants)
    columns += (row_orders >= tables.row_variants) * tables.column_variants
    return digits, row_orders, columns


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


_SCRATCH = _Scratch()


def _apply(
    tables: SymmetryTables,
    source: np.ndarray,
    starts: np.ndarray,
    ranks: tuple[np.ndarray, np.ndarray, np.ndarray],
    target: tuple[np.ndarray, np.ndarray],
) -> None:
    """One block. mode="clip" everywhere: it is the one that neither copies nor checks twice."""
    digits, row_orders, columns = ranks
    new_inputs, new_labels = target
    count = len(starts)
    cells, old, new = _SCRATCH.cells[:count], _SCRATCH.old[:count], _SCRATCH.new[:count]
    shifts, words = _SCRATCH.shifts[:count], _SCRATCH.words[:count]
    # Which old cell each new cell shows, then the bytes of `pack_sudoku` that lie there.
    tables.rows.take(row_orders, axis=0, out=old, mode="clip")
    tables.columns.take(columns, axis=0, out=new, mode="clip")
    np.add(old, new, out=old)
    np.copyto(cells, old)
    np.add(cells, starts[:, None], out=cells)
    source.take(cells, out=new, mode="clip")
    # Relabel: digit d is nibble d - 1 of the word, all of them xor-ed with the ninth, so that a
    # shift by 32 (which yields 0) finds that one.
    np.bitwise_and(new, 60, out=old)
    np.copyto(shifts, old)
    words[:] = tables.digit_words.take(digits, mode="clip")[:, None]
    np.right_shift(words, shifts, out=words)
    np.copyto(old, words, casting="unsafe")
    np.bitwise_and(old, 15, out=old)
    np.bitwise_xor(old, tables.ninth_digits.take(digits, mode="clip")[:, None], out=old)
    np.add(old, BLANK_TOKEN, out=new_labels)
    np.bitwise_and(new, 1, out=new)
    np.multiply(old, new, out=old)
    np.add(old, BLANK_TOKEN, out=new_inputs)
