"""Boards of which nothing is known but their tokens."""

from __future__ import annotations

import colorsys
import string

import numpy as np

from hrm_scale.puzzles.base import Puzzle
from hrm_scale.puzzles.drawing import Token

_GLYPHS = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Unknown(Puzzle):
    """Rows of numbers: no rules, no text, no symmetries. They can be trained on and looked at."""

    kind = "other"
    known = False
    has_rules = False

    def __init__(self, height: int, width: int, tokens: int) -> None:
        super().__init__(height, width)
        self.tokens = tuple(
            Token(f"token {number}", _GLYPHS[number : number + 1], _colour(number), "#111111")
            for number in range(tokens)
        )

    def solved(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        raise TypeError(f"puzzles of kind {self.kind} have no rules")


def _colour(number: int) -> str:
    """Hues of neighbouring numbers are far apart (the golden angle)."""
    rgb = colorsys.hls_to_rgb(number * 137.5 / 360 % 1, 0.7, 0.5)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def unknown(board: dict[str, int], cells: int, tokens: int) -> Unknown:
    """Boards of the sides given, else nearly square ones."""
    height, width = board.get("height", 0), board.get("width", 0)
    if height * width != cells:
        width = max(1, int(cells**0.5))
        height = -(-cells // width)
    return Unknown(height, width, tokens)
