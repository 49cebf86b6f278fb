"""The symmetries of a Sudoku: digits renamed, bands, stacks and lines permuted, transposed.

Boards up to 9x9 use the fast tables of `augment.py`; larger ones compose the same symmetries from
`hrm_scale.puzzles.symmetry`, with draws of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hrm_scale.puzzles.sudoku.augment import augment_packed, draw_numbers, pack_sudoku
from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN, Geometry
from hrm_scale.puzzles.sudoku.classes import class_keys
from hrm_scale.puzzles.sudoku.tables import MAX_TABLED, SymmetryTables, symmetry_tables
from hrm_scale.puzzles.symmetry import BoardSymmetry, Dihedral, Lines, Maps, Product, Relabel

_OFFSET = np.uint8(BLANK_TOKEN)


def sudoku_symmetry(geometry: Geometry) -> BoardSymmetry:
    """All symmetries of a board."""
    small = geometry.size <= MAX_TABLED
    return TabledSudoku(geometry) if small else LargeSudoku(geometry)


class LargeSudoku(Product):
    """Composed of factors; for every size."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        size, tokens = geometry.size, geometry.vocab_size
        factors: list[BoardSymmetry] = [
            Relabel(range(2, tokens), tokens, geometry.cells),
            Lines(size, size, geometry.box_height, tokens),
            Lines(size, size, geometry.box_width, tokens, axis=1),
        ]
        if geometry.square_boxes:
            factors.append(Dihedral(size, size, tokens, turns=(0, 6)))
        super().__init__(*factors)

    def keys(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return class_keys(inputs - _OFFSET, labels - _OFFSET, self._geometry)


class TabledSudoku(LargeSudoku):
    """Drawn from tables of all symmetries: several times as fast, up to 9x9."""

    @property
    def _tables(self) -> SymmetryTables:
        return symmetry_tables(**self._geometry.board())

    def maps(self, groups: np.ndarray, index: np.ndarray, seed: int) -> Maps:
        tables = self._tables
        digits, rows, columns = draw_numbers(tables, groups, index, seed)
        cells = tables.rows[rows].astype(np.intp) + tables.columns[columns]
        old = np.arange(tables.size, dtype=np.uint64)
        words = tables.digit_words[digits].astype(np.uint64)[:, None] >> (old * np.uint64(4))
        new = (words & np.uint64(15)).astype(np.uint8) ^ tables.ninth_digits[digits][:, None]
        tokens = np.tile(np.arange(self._geometry.vocab_size, dtype=np.uint8), (len(groups), 1))
        tokens[:, 2:] = new + _OFFSET
        return Maps(cells, tokens)

    def prepare(self, inputs: np.ndarray, labels: np.ndarray) -> Any:
        return pack_sudoku(inputs, labels)

    def augment_rows(
        self,
        table: Any,
        rows: np.ndarray,
        groups: np.ndarray,
        index: np.ndarray,
        seed: int,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        augment_packed(self._tables, table, rows, groups, index, seed, out)
