"""Which symmetry made a Sudoku, read off the loader's own function, and how to undo it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hrm_scale.puzzles.sudoku.augment import augment_sudoku
from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN


class Symmetries:
    """Symmetries `numbers` (of int64 [n]) of one group of a data set.

    cells: int64 [n, cells], the new cell that shows old cell c; tokens: uint8 [n, 256], the old
    token of a new one (padding, blank and impossible tokens stay). Both are found by augmenting
    boards with a single clue, so that they cannot differ from what the loader does.
    """

    def __init__(
        self,
        label: np.ndarray,
        group: int,
        numbers: np.ndarray,
        seed: int,
        board: Mapping[str, int],
    ) -> None:
        cells, count = len(label), len(numbers)
        probes = np.where(np.eye(cells, dtype=bool), label, BLANK_TOKEN).astype(np.uint8)
        inputs, _ = augment_sudoku(
            np.tile(probes, (count, 1)),
            np.tile(label, (cells * count, 1)),
            np.full(cells * count, group),
            np.repeat(numbers, cells),
            seed,
            board,
        )
        inputs = inputs.reshape(count, cells, cells)
        self.cells = (inputs != BLANK_TOKEN).argmax(axis=2)
        self.tokens = np.tile(np.arange(256, dtype=np.uint8), (count, 1))
        row = np.arange(count)[:, None]
        new = np.take_along_axis(inputs, self.cells[:, :, None], axis=2)[:, :, 0]
        self.tokens[row, new] = label

    def undo(self, tokens: np.ndarray, which: int = 0) -> np.ndarray:
        """The board [cells] (or boards [..., cells]) before symmetry `which`."""
        return self.tokens[which][tokens[..., self.cells[which]]]

    def undo_all(self, tokens: np.ndarray) -> np.ndarray:
        """What the board [cells] would come from under each of the symmetries: [n, cells]."""
        return np.take_along_axis(self.tokens, tokens[self.cells].astype(np.int64), axis=1)


def number_of_copy(
    copy: np.ndarray, other: np.ndarray, group: int, count: int, seed: int, board: Mapping[str, int]
) -> int | None:
    """Which of the symmetries 0 ... count made the solved board `copy`; `other` is another copy.

    Both must come from one original: the symmetry that leads back to a board which `other` leads
    back to as well. None when there is none, or several.
    """
    symmetries = Symmetries(copy, group, np.arange(count + 1), seed, board)
    others = {row.tobytes() for row in symmetries.undo_all(other)}
    origins = symmetries.undo_all(copy)
    found = [number for number, row in enumerate(origins) if row.tobytes() in others]
    return found[0] if len(found) == 1 else None
