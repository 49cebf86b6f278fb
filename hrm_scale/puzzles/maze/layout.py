"""The eight symmetries of a square board, and which mazes have the same layout up to them."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from hrm_scale.puzzles.maze.paths import WALL
from hrm_scale.puzzles.symmetry import Dihedral

TRANSFORMATIONS = 8


class MazeSymmetry(Dihedral):
    """Mazes are the same where their questions are: most have many shortest paths."""

    def keys(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return super().keys(inputs, inputs)


@cache
def _gathers(side: int) -> np.ndarray:
    """int64 [8, cells]: which old cell each new cell shows."""
    return Dihedral(side, side, tokens=0).gathers


def turn(boards: np.ndarray, numbers: np.ndarray, side: int) -> np.ndarray:
    """Board i under transformation numbers[i] (as `dihedral` counts them)."""
    return np.take_along_axis(boards, _gathers(side)[numbers], axis=1)


def layout_keys(inputs: np.ndarray, side: int) -> list[bytes]:
    """Equal exactly where two mazes have the same walls up to rotation and reflection."""
    walls = inputs == WALL
    # A hash of a few bytes of each of the eight would be as good as certain; these are certain.
    packed = np.stack([np.packbits(walls[:, order], axis=1) for order in _gathers(side)], axis=1)
    return [hashlib.sha256(min(row.tobytes() for row in eight)).digest() for eight in packed]
