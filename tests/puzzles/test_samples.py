"""Samples to begin with: sound puzzles of every kind and size that can make some."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_scale.puzzles import Puzzle
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.sudoku.puzzle import Sudoku


@pytest.mark.parametrize(
    "puzzle", [Sudoku.of_size(4), Sudoku.of_size(9), Sudoku.of_size(16), Maze(5, 5), Maze(30, 30)]
)
def test_samples_are_solved_and_differ(puzzle: Puzzle) -> None:
    samples = puzzle.samples()
    assert len(samples) >= 4
    pairs = [(s.question, s.answer) for s in samples if s.answer is not None]
    inputs, labels = (
        np.stack([grid.reshape(-1) for grid in grids]) for grids in zip(*pairs, strict=True)
    )
    assert puzzle.solved(inputs, labels).all()
    assert (inputs != labels).any(axis=1).all()
    assert len(np.unique(inputs, axis=0)) == len(samples)
    if puzzle.one_solution:
        assert set(puzzle.count_solutions([s.question for s in samples])) == {"one"}


def test_a_kind_without_a_generator_has_none() -> None:
    assert Arc().samples() == []
