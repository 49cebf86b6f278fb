"""One copy of a group as the model reads it, and how to undo what was done to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hrm_scale.puzzles.arc import grid as arc_grid
from hrm_scale.puzzles.symmetry import BoardSymmetry, Maps, dihedral

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

    sides: height and width of a board; number: of `count`; computed: made from the stored original
    just now; augmentation: its number where it is known; maps: the one symmetry of whole boards
    that made it; turn: number of that symmetry where it is a dihedral one, which the set stores;
    variant: uint8 [11] of an ARC copy; shapes: [n, 4] and offsets [n, 2] of ARC grids in their
    frames.
    """

    sides: tuple[int, int]
    number: int
    count: int
    computed: bool
    first_example: int
    inputs: np.ndarray
    labels: np.ndarray
    identifiers: np.ndarray
    columns: dict[str, np.ndarray]
    augmentation: int | None = None
    maps: Maps | None = None
    turn: int | None = None
    variant: np.ndarray | None = None
    shapes: np.ndarray | None = None
    offsets: np.ndarray | None = None

    @property
    def turned(self) -> str | None:
        """How the boards were turned, in words; None where that is not said by a number."""
        turn = self.turn if self.variant is None else int(self.variant[0])
        return None if turn is None else TURNS[turn]

    def renamed(self, symbols: range) -> list[list[int]]:
        """[token, what it became] of all symbols; empty where they are not renamed."""
        if self.variant is not None:
            first = arc_grid.FIRST_COLOUR
            pairs = [
                [first + old, first + new] for old, new in enumerate(self.variant[1:].tolist())
            ]
        elif self.maps is not None:
            pairs = [[symbol, int(self.maps.tokens[0, symbol])] for symbol in symbols]
        else:
            pairs = []
        return pairs if any(old != new for old, new in pairs) else []

    @property
    def can_undo(self) -> bool:
        return self.variant is not None or self.maps is not None

    def undo(self, tokens: np.ndarray, row: int, side: int) -> np.ndarray:
        """Tokens [seq_len] of row `row` (side 0 input, 1 label) as they were: [height, width].

        Of an ARC frame the part that the true grid covers; tokens that are no colours stay.
        """
        if self.variant is not None:
            return arc_grid.undo_tokens(arc_grid.cut(tokens, self.place(row, side)), self.variant)
        assert self.maps is not None
        return self.maps.undo(tokens[None])[0].reshape(self.sides)

    def place(self, row: int, side: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of an ARC grid in its frame."""
        assert self.shapes is not None
        height, width = self.shapes[row, 2 * side : 2 * side + 2].tolist()
        top, left = (0, 0) if self.offsets is None else self.offsets[row].tolist()
        return top, left, height, width


def turn_maps(turn: int, sides: tuple[int, int], tokens: int) -> Maps:
    """A dihedral transformation of whole boards."""
    cells = dihedral(np.arange(sides[0] * sides[1]).reshape(sides), turn)
    return Maps(cells.reshape(1, -1), np.arange(tokens, dtype=np.uint8)[None])


def maps_of_copy(
    symmetry: BoardSymmetry,
    copy: np.ndarray,
    others: Iterable[np.ndarray],
    group: int,
    count: int,
    seed: int,
) -> tuple[int, Maps] | None:
    """Which of the symmetries 0 ... count made a stored copy: its number and itself.

    copy, others: a pair of boards [2, S], and further copies of it, read until they suffice. All
    must come from one original: the symmetry wanted leads back to a pair that each of them leads
    back to as well. None when there is no such pair, or several.
    """
    numbers = np.arange(count + 1)
    maps = symmetry.maps(np.full(count + 1, group), numbers, seed)

    def origins(pair: np.ndarray) -> list[bytes]:
        boards = [maps.undo(np.tile(board, (count + 1, 1))) for board in pair]
        return [row.tobytes() for row in np.concatenate(boards, axis=1)]

    back = origins(copy)
    left = set(back)
    for other in others:
        left &= set(origins(other))
        if len(left) < 2:
            break
    if len(left) != 1:
        return None
    number = back.index(left.pop())
    return number, Maps(maps.cells[number : number + 1], maps.tokens[number : number + 1])
