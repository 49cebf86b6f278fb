"""The tokens of a Sudoku, and where its digits contradict each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

BLANK_TOKEN = 1
"""Token of an empty cell; digit d is token d + 1, padding is 0."""


def contradictions(digits: np.ndarray, board: Mapping[str, int]) -> np.ndarray:
    """bool [cells]: the cell's digit stands again in its row, column or box (blanks never do)."""
    height, width = board["height"], board["width"]
    cell = np.arange(height * width)
    row, column = np.divmod(cell, width)
    box = row // board["box_height"] * (width // board["box_width"]) + column // board["box_width"]
    same = digits[:, None] == digits[None, :]
    seen = ((row[:, None] == row) | (column[:, None] == column) | (box[:, None] == box)) & ~np.eye(
        height * width, dtype=bool
    )
    return (same & seen).any(1) & (digits > 0)
