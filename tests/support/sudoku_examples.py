"""A few generated puzzles of each size, made once for all Sudoku tests."""

from __future__ import annotations

from functools import cache

import numpy as np

from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN, GEOMETRIES, GLYPHS, Geometry
from shards.builder.boards import Boards
from shards.sudoku.generate import generate

HEADER = "source,question,answer,rating\n"
COUNT = {4: 120, 6: 120, 8: 40, 9: 60, 10: 40, 12: 40, 16: 20}


class Puzzles(Boards):
    """Boards of digits, 0 for an empty cell, beside those of tokens."""

    @property
    def questions(self) -> np.ndarray:
        return self.inputs - np.uint8(BLANK_TOKEN)

    @property
    def answers(self) -> np.ndarray:
        return self.labels - np.uint8(BLANK_TOKEN)


@cache
def puzzles_of(size: int) -> Puzzles:
    return Puzzles(**vars(generate(COUNT[size], GEOMETRIES[size], seed=0)))


def moved(boards: np.ndarray, geometry: Geometry, seed: int) -> np.ndarray:
    """Boards `uint8 [n, cells]` under one random symmetry, step by step from its definition."""
    draw = np.random.default_rng(seed)
    size, height, width = geometry.size, geometry.box_height, geometry.box_width

    def lines(per_group: int) -> np.ndarray:
        groups = draw.permutation(size // per_group)
        return np.concatenate([g * per_group + draw.permutation(per_group) for g in groups])

    grids = boards.reshape(-1, size, size)[:, lines(height)][:, :, lines(width)]
    if geometry.square_boxes and draw.random() < 0.5:
        grids = grids.transpose(0, 2, 1)
    digits = np.concatenate([[0], 1 + draw.permutation(size)]).astype(np.uint8)
    return digits[grids].reshape(boards.shape)


def rows_of(count: int, size: int = 9) -> list[list[str]]:
    """CSV fields of the first `count` puzzles: sources s0, s1, s2 in turn, rating = place."""
    puzzles = puzzles_of(size).take(np.arange(count))
    return [
        [f"s{i % 3}", "".join(GLYPHS[d] for d in q), "".join(GLYPHS[d] for d in a), str(i)]
        for i, (q, a) in enumerate(zip(puzzles.questions, puzzles.answers, strict=True))
    ]
