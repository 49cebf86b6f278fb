"""Symmetries of boards: they are undone exactly, compose, keep the rules and do not depend on
batches; keys are equal exactly for the same puzzle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import solved_boards
from hrm_scale.puzzles import BoardSymmetry, Dihedral, Product, Relabel
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.symmetry import Lines

TOKENS = 7
SYMMETRIES: dict[str, Callable[[], BoardSymmetry]] = {
    "dihedral of a square": lambda: Dihedral(4, 4, TOKENS),
    "dihedral of a rectangle": lambda: Dihedral(2, 8, TOKENS),
    "relabel": lambda: Relabel(range(2, 6), TOKENS, 16),
    "rows": lambda: Lines(4, 4, 2, TOKENS),
    "columns": lambda: Lines(4, 4, 2, TOKENS, axis=1),
    "product": lambda: Product(Dihedral(4, 4, TOKENS), Relabel(range(1, 5), TOKENS, 16)),
    "sudoku": lambda: Sudoku.of_size(4).symmetry,  # type: ignore[return-value]
}
named = pytest.mark.parametrize("name", SYMMETRIES)


def boards(seed: int, count: int = 12) -> np.ndarray:
    """Any tokens of a board of 4x4 Sudoku (0 to 5), which all symmetries here accept."""
    return np.random.default_rng(seed).integers(2, 6, (count, 16)).astype(np.uint8)


@named
@settings(max_examples=20)
@given(seed=st.integers(0, 1 << 40), start=st.integers(0, 1000))
def test_undone_exactly_and_drawn_by_number_alone(name: str, seed: int, start: int) -> None:
    symmetry = SYMMETRIES[name]()
    questions, answers = boards(seed), boards(seed)
    groups, index = np.arange(12) + start, np.arange(12) % 5
    made = symmetry.augment(questions, answers, groups, index, seed % 1000)
    assert (made[0] == made[1]).all()
    maps = symmetry.maps(groups, index, seed % 1000)
    assert (maps.apply(questions) == made[0]).all()
    assert (maps.undo(made[0]) == questions).all()
    assert (made[0][index == 0] == questions[index == 0]).all()  # number 0 is the identity
    one = symmetry.augment(questions[7:8], answers[7:8], groups[7:8], index[7:8], seed % 1000)
    assert (one[0] == made[0][7:8]).all()


@named
def test_every_symmetry_is_drawn_about_equally_often(name: str) -> None:
    symmetry = SYMMETRIES[name]()
    count = min(symmetry.order * 40, 40_000)
    index = np.arange(1, count + 1)
    maps = symmetry.maps(np.zeros(count, np.int64), index, 0)
    effects = np.concatenate([maps.cells, maps.tokens], axis=1)
    distinct, times = np.unique(effects, axis=0, return_counts=True)
    if symmetry.order * 40 <= count:
        assert len(distinct) == symmetry.order
        assert times.max() < 3 * times.mean()
        assert times.min() > times.mean() / 3


@named
@settings(max_examples=20)
@given(seed=st.integers(0, 1 << 40))
def test_keys_are_those_of_the_puzzle(name: str, seed: int) -> None:
    symmetry = SYMMETRIES[name]()
    answers = solved_boards(4, 12, seed=seed % 1000)
    random = np.random.default_rng(seed)
    blank = 1 if name == "sudoku" else 6
    questions = np.where(random.random(answers.shape) < 0.5, answers, blank).astype(np.uint8)
    groups, index = np.arange(12), random.integers(1, 100, 12)
    made = symmetry.augment(questions, answers, groups, index, seed % 1000)
    keys = symmetry.keys(questions, answers)
    assert (symmetry.keys(*made) == keys).all()
    other = questions.copy()
    cell = random.integers(16)
    other[:, cell] = np.where(other[:, cell] == blank, answers[:, cell], blank)
    assert (symmetry.keys(other, answers) != keys).all()  # another number of clues


@pytest.mark.parametrize("size", [4, 6, 8, 9, 10, 12, 16])
def test_sudoku_symmetries_keep_the_rules(size: int) -> None:
    puzzle = Sudoku.of_size(size)
    assert isinstance(puzzle.symmetry, BoardSymmetry)
    box_height, box_width = puzzle.boxes or (1, 1)
    row, column = np.divmod(np.arange(size * size), size)
    solved = (row % box_height * box_width + row // box_height + column) % size + 2
    answers = np.tile(solved.astype(np.uint8), (50, 1))
    questions = np.where(np.random.default_rng(size).random(answers.shape) < 0.4, answers, 1)
    groups, index = np.arange(50), np.arange(50) + 1
    inputs, labels = puzzle.symmetry.augment(questions.astype(np.uint8), answers, groups, index, 3)
    assert puzzle.solved(inputs, labels).all()
    assert len(np.unique(labels, axis=0)) > 40
    assert (puzzle.symmetry.maps(groups, index, 3).undo(labels) == answers).all()
