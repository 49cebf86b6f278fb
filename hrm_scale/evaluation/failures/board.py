"""What the cells of a data set's puzzles are laid out as."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_scale.data.augment.arc_grid import CELLS, VOCABULARY
from hrm_scale.data.format.meta import DatasetMeta

MAZE_TOKENS = 6
"""Padding, wall, free, start, goal, path."""


@dataclass(frozen=True)
class Board:
    """`drawn`: "sudoku" | "maze" | "arc" | "tokens"; height * width >= the cells of a row. A box
    of a Sudoku is box_height x box_width, 0 x 0 elsewhere."""

    drawn: str
    height: int
    width: int
    box_height: int = 0
    box_width: int = 0

    @property
    def has_rules(self) -> bool:
        """Can an answer be seen to be impossible without knowing the right one?"""
        return self.drawn in ("sudoku", "maze")


def board_of(meta: DatasetMeta) -> Board:
    """The board of a data set: as its kind says, or plain tokens where it cannot be such a one."""
    sides = meta.board.get("height", 0), meta.board.get("width", 0)
    fits = sides[0] * sides[1] == meta.seq_len
    boxes = meta.board.get("box_height", 0), meta.board.get("box_width", 0)
    if meta.kind == "sudoku" and fits and sides[0] == sides[1] == boxes[0] * boxes[1]:
        return Board("sudoku", *sides, *boxes)
    if meta.kind == "maze" and fits and meta.vocab_size == MAZE_TOKENS:
        return Board("maze", *sides)
    if not fits:
        width = max(1, int(meta.seq_len**0.5))
        sides = -(-meta.seq_len // width), width
    arc = meta.kind == "arc" and meta.seq_len == CELLS and meta.vocab_size == VOCABULARY
    return Board("arc" if arc else "tokens", *sides)
