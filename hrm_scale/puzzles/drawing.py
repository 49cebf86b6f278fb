"""How a board looks, as data: one painter in the browser and one in the terminal draw from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PALETTE = (
    "#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00",
    "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25",
)  # fmt: skip
"""The ten colours of ARC, as its authors show them."""
REGIONS = (
    "#f4a6a0", "#a8c8f0", "#b5dba8", "#f3d98b", "#cdb4e8", "#f5bfe0", "#a9ddd6", "#dcc3a1",
    "#c9d77e", "#b9bfc9", "#ffc48c", "#9fb4ff",
)  # fmt: skip
"""Light colours for regions of a board, with dark glyphs on them."""
ROLES = ("wall", "floor", "start", "goal", "path")
"""Fills and inks that the theme chooses, in light and dark."""


@dataclass(frozen=True)
class Token:
    """What a token looks like.

    name: for people and screen readers. glyph: one character, or "" for a token that stands for
    nothing on a board. fill, ink: "" for the page's own, "#rrggbb", or one of `ROLES`.
    """

    name: str
    glyph: str = ""
    fill: str = ""
    ink: str = ""


@dataclass(frozen=True)
class Drawing:
    """Everything a painter must know beside the tokens of a board.

    tokens: by number. blank: the token of a question's cell that the answer fills, if any.
    background: a cell whose shown token has no fill keeps the fill of the question's token.
    lines: thick lines [row, column, row, column] along the borders of cells. regions: thick lines
    between neighbours whose question tokens differ. path: tokens whose neighbouring cells one line
    joins. crop: only the rectangle of tokens with a fill is the grid.
    """

    height: int
    width: int
    tokens: tuple[Token, ...]
    blank: int | None = None
    background: bool = False
    lines: tuple[tuple[int, int, int, int], ...] = ()
    regions: bool = False
    path: tuple[int, ...] = ()
    crop: bool = False

    @property
    def shows_question(self) -> bool:
        """Does a drawn answer show the question as well?"""
        return self.background or bool(self.path)

    def grid(self, tokens: np.ndarray) -> np.ndarray:
        """What is drawn of a board's tokens [S], uint8 [h, w]; of 0x0 where a cropped one has no
        grid. Rows that do not fill the board end with token 0."""
        cells = np.zeros(self.height * self.width, np.uint8)
        cells[: len(tokens)] = tokens
        board = cells.reshape(self.height, self.width)
        if not self.crop:
            return board
        filled = [number for number, token in enumerate(self.tokens) if token.fill]
        seen = np.isin(board, filled)
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if not rows.size:
            return board[:0, :0]
        return board[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def box_lines(
    height: int, width: int, box_height: int, box_width: int
) -> tuple[tuple[int, int, int, int], ...]:
    """Lines between boxes of a board."""
    across = [(row, 0, row, width) for row in range(box_height, height, box_height)]
    down = [(0, column, height, column) for column in range(box_width, width, box_width)]
    return (*across, *down)
