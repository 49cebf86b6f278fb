"""One copy of a group as the model reads it, and how to undo what was done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrm_scale.puzzles.arc import grid as arc_grid

from .sudoku import Symmetries

TURNS = (
    "not turned",
    "turned 90° to the left",
    "turned by 180°",
    "turned 90° to the right",
    "mirrored left to right",
    "mirrored top to bottom",
    "transposed",
    "mirrored at the other diagonal",
)


@dataclass(frozen=True)
class Copy:
    """Rows of one copy of a group, as the model reads them.

    number: of `count`; computed: made from the stored original just now; variant: uint8 [11] of an
    ARC copy, else None; shapes: [n, 4] and offsets [n, 2] of ARC grids in their frames; symmetry:
    what undoes a Sudoku; turn: dihedral transformation of a whole board; augmentation: its number
    where it is known.
    """

    number: int
    count: int
    computed: bool
    first_example: int
    inputs: np.ndarray
    labels: np.ndarray
    identifiers: np.ndarray
    columns: dict[str, np.ndarray]
    variant: np.ndarray | None = None
    shapes: np.ndarray | None = None
    offsets: np.ndarray | None = None
    symmetry: Symmetries | None = None
    turn: int | None = None
    augmentation: int | None = None

    @property
    def turned(self) -> str | None:
        """How the boards were turned, in words; None where that is not said by a number."""
        if self.variant is not None:
            return TURNS[int(self.variant[0])]
        return None if self.turn is None else TURNS[self.turn]

    @property
    def can_undo(self) -> bool:
        ways = (self.variant, self.symmetry, self.turn)
        return any(way is not None for way in ways)

    def undo(self, tokens: np.ndarray, row: int, side: int) -> np.ndarray:
        """Tokens [seq_len] of row `row` (side 0 input, 1 label) as they were: [height, width].

        Of an ARC frame the part that the true grid covers; tokens that are no colours stay.
        """
        if self.variant is not None:
            return _undo_arc(self.area(tokens, row, side), self.variant)
        side = int(len(tokens) ** 0.5)
        if self.turn is not None:
            inverse = arc_grid.DIHEDRAL_INVERSE[self.turn]
            return arc_grid.dihedral(tokens.reshape(side, side), inverse)
        assert self.symmetry is not None
        return self.symmetry.undo(tokens).reshape(side, side)

    def area(self, tokens: np.ndarray, row: int, side: int) -> np.ndarray:
        """The part of an ARC frame that the true grid of this row and side covers."""
        top, left, height, width = self.place(row, side)
        frame = tokens.reshape(arc_grid.SIDE, arc_grid.SIDE)
        return frame[top : top + height, left : left + width]

    def place(self, row: int, side: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of an ARC grid in its frame."""
        assert self.shapes is not None
        height, width = self.shapes[row, 2 * side : 2 * side + 2].tolist()
        top, left = (0, 0) if self.offsets is None else self.offsets[row].tolist()
        return top, left, height, width


def _undo_arc(area: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """`arc_grid.undo` on tokens, so that a wrong prediction with PAD or EOS in it works too."""
    first = arc_grid.FIRST_COLOUR
    tokens = np.arange(256, dtype=np.uint8)
    tokens[variant[1:] + np.uint8(first)] = np.arange(first, first + arc_grid.COLOURS)
    return tokens[arc_grid.dihedral(area, arc_grid.DIHEDRAL_INVERSE[int(variant[0])])]
