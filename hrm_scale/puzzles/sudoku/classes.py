"""Which Sudoku puzzles are the same up to symmetry.

The symmetries of a board: relabelling digits, permuting bands, rows in a band, stacks, columns in a
stack, and transposing where boxes are square. For 4x4 and 6x6 there are few enough to try them all,
so the canonical form is exact. For larger boards an invariant fingerprint is used: equivalent
puzzles always have equal fingerprints, and others share one so rarely that treating them as equal
costs nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hrm_scale.base.counter import fold_array
from hrm_scale.puzzles.sudoku.board import Geometry
from hrm_scale.puzzles.symmetry import hash_rows, line_orders

_BLOCK = 256
_ROUNDS = 4


def class_keys(questions: np.ndarray, answers: np.ndarray, geometry: Geometry) -> np.ndarray:
    """One key per puzzle, equal for equivalent puzzles: uint64 [n].

    `questions` and `answers` are `uint8 [n, cells]`. Exact for boards up to 6x6.
    """
    keys = np.empty(len(questions), np.uint64)
    for start in range(0, len(questions), _BLOCK):
        part = slice(start, start + _BLOCK)
        if geometry.size <= 6:
            keys[part] = hash_rows(canonical_forms(questions[part], answers[part], geometry))
        else:
            keys[part] = _invariants(questions[part], answers[part], geometry)
    return keys


def canonical_forms(questions: np.ndarray, answers: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The smallest equivalent of each puzzle, `uint8 [n, 2 * cells]`: clue pattern, then solution.

    Smallest in the order (clue pattern, solution relabelled by first occurrence). Patterns of all
    symmetries are compared first, as one integer each: few symmetries tie for the smallest, so that
    only those have their digits relabelled. A puzzle's solution is part of it: it is unique.
    """
    moves = cell_symmetries(geometry)
    weights = np.uint64(1) << np.arange(geometry.cells, dtype=np.uint64)[::-1]
    clues = (questions != 0).astype(np.uint8)
    patterns = _pattern_integers(clues, geometry)
    smallest = patterns.min(axis=1)
    board, symmetry = np.nonzero(patterns == smallest[:, None])
    relabelled = relabel(np.take_along_axis(answers[board], moves[symmetry], axis=1))
    # Sort ties of each board by their digits; the first of each board is its canonical form.
    order = np.lexsort((*relabelled.T[::-1], board))
    first = order[np.searchsorted(board[order], np.arange(len(questions)))]
    bits = (smallest[:, None] & weights) != 0
    return np.concatenate([bits.astype(np.uint8), relabelled[first]], axis=1)


def relabel(boards: np.ndarray) -> np.ndarray:
    """Digits renamed 1, 2, 3 ... in the order in which they first occur: uint8 [n, cells]."""
    count, cells = boards.shape
    name = np.zeros((count, int(boards.max(initial=0)) + 1), np.uint8)
    used = np.zeros(count, np.uint8)
    result = np.empty_like(boards)
    index = np.arange(count)
    for cell in range(cells):
        digit = boards[:, cell]
        fresh = name[index, digit] == 0
        used += fresh
        name[index[fresh], digit[fresh]] = used[fresh]
        result[:, cell] = name[index, digit]
    return result


@lru_cache(maxsize=4)
def cell_symmetries(geometry: Geometry) -> np.ndarray:
    """All cell permutations `int64 [symmetries, cells]`: new cell k shows old cell `row[k]`.

    Order: rows slowest, then columns; the transposed ones after all others.
    """
    rows = line_orders(geometry.size, geometry.box_height)
    columns = line_orders(geometry.size, geometry.box_width)
    cells = rows[:, None, :, None] * geometry.size + columns[None, :, None, :]
    moves = cells.reshape(-1, geometry.cells)
    if geometry.square_boxes:
        turned = np.arange(geometry.cells).reshape(geometry.size, -1).T.ravel()
        moves = np.concatenate([moves, turned[moves]])
    return moves


def _pattern_integers(clues: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Clue patterns of all symmetries as integers, first cell highest: uint64 [n, symmetries]."""
    rows = line_orders(geometry.size, geometry.box_height)
    columns = line_orders(geometry.size, geometry.box_width)
    size = geometry.size
    place = np.uint64(1) << np.arange(size, dtype=np.uint64)[::-1]
    grids = [clues.reshape(-1, size, size)]
    if geometry.square_boxes:
        grids.append(grids[0].transpose(0, 2, 1))
    patterns = []
    for grid in grids:
        # Each row as a number, once per order of the columns: [n, column orders, size].
        words = (grid[:, :, columns].astype(np.uint64) * place).sum(axis=3).transpose(0, 2, 1)
        total = np.zeros((len(clues), len(rows), len(columns)), np.uint64)
        for row in range(size):
            total <<= np.uint64(size)
            total |= words[:, :, rows[:, row]].transpose(0, 2, 1)
        patterns.append(total.reshape(len(clues), -1))
    return np.concatenate(patterns, axis=1)


def _invariants(questions: np.ndarray, answers: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Colour refinement of cells, lines, boxes, bands and digits of solved puzzles: uint64 [n].

    Every cell starts with "clue or not" and is refined by what its digit, box and two lines (with
    their bands) hold; sums over unordered parts make the result independent of their order.
    Transposition is covered by treating rows and columns alike where boxes are square.
    """
    count, size = len(questions), geometry.size
    shape = (count, geometry.bands, geometry.box_height, geometry.stacks, geometry.box_width)
    digit = (answers - 1).astype(np.int64) + np.arange(count)[:, None] * size
    colour = _salted((questions != 0).astype(np.uint64), 1)
    column_salt = 3 if geometry.square_boxes else 4
    for _ in range(_ROUNDS):
        grid = colour.reshape(shape)
        rows = _salted(grid.sum(axis=(3, 4), keepdims=True), 2)
        columns = _salted(grid.sum(axis=(1, 2), keepdims=True), 2)
        bands = _salted(rows.sum(axis=2, keepdims=True), 3)
        stacks = _salted(columns.sum(axis=4, keepdims=True), column_salt)
        boxes = _salted(grid.sum(axis=(2, 4), keepdims=True), 5)
        line = _salted(rows + bands * np.uint64(3), 6)
        cross = _salted(columns + stacks * np.uint64(3), 6 if geometry.square_boxes else 7)
        totals = np.zeros(count * size, np.uint64)
        np.add.at(totals, digit, colour)
        mixed = (line + cross + _salted(boxes, 8)).reshape(count, -1)
        colour = _salted(colour * np.uint64(5) + mixed + _salted(totals[digit], 9), 10)
    return _salted(colour.sum(axis=1), 11)


def _salted(values: np.ndarray, salt: int) -> np.ndarray:
    return fold_array(salt, values)
