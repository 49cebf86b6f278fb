"""A few generated puzzles of each size, made once for all Sudoku tests."""

from __future__ import annotations

from functools import cache

import numpy as np

from shards.sudoku.board import GEOMETRIES
from shards.sudoku.generate import generate
from shards.sudoku.puzzles import Puzzles

HEADER = "source,question,answer,rating\n"
COUNT = {4: 120, 6: 120, 9: 60}


@cache
def puzzles_of(size: int) -> Puzzles:
    return generate(COUNT[size], GEOMETRIES[size], seed=0)


def rows_of(count: int, size: int = 9) -> list[list[str]]:
    """CSV fields of the first `count` puzzles: sources s0, s1, s2 in turn, rating = place."""
    puzzles = puzzles_of(size).take(np.arange(count))
    return [
        [f"s{i % 3}", "".join(map(str, q)).replace("0", "."), "".join(map(str, a)), str(i)]
        for i, (q, a) in enumerate(zip(puzzles.questions, puzzles.answers, strict=True))
    ]
