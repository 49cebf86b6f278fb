"""Which Sudokus count as the same."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_scale.puzzles.sudoku.board import GEOMETRIES, faulty_units
from hrm_scale.puzzles.sudoku.classes import canonical_forms, cell_symmetries, class_keys, relabel
from tests.support.sudoku_examples import moved, puzzles_of


@pytest.mark.parametrize("size", GEOMETRIES)
def test_equivalent_puzzles_have_equal_keys(size: int) -> None:
    geometry = GEOMETRIES[size]
    puzzles = puzzles_of(size).take(np.arange(20))
    keys = class_keys(puzzles.questions, puzzles.answers, geometry)
    for seed in range(6):
        questions, answers = (
            moved(boards, geometry, seed) for boards in (puzzles.questions, puzzles.answers)
        )
        assert not (questions == puzzles.questions).all()
        assert (class_keys(questions, answers, geometry) == keys).all()


@pytest.mark.parametrize("size", [8, 9, 10, 12, 16])
def test_puzzles_whose_solutions_differ_in_one_rectangle_have_other_keys(size: int) -> None:
    """Two digits exchanged in two rows of a band leave a solved board that is no symmetry."""
    geometry = GEOMETRIES[size]
    puzzles = puzzles_of(size).take(np.arange(20))
    twins = puzzles.answers.reshape(-1, size, size).copy()
    for grid in twins:
        # Follow the digits that columns pair up in the first two rows until they close a cycle.
        above, below = grid[0].copy(), grid[1].copy()
        column, cycle = 0, []
        while column not in cycle:
            cycle.append(column)
            column = int(np.flatnonzero(above == below[column])[0])
        grid[0, cycle], grid[1, cycle] = below[cycle], above[cycle]
    twins = twins.reshape(20, -1)
    whole = (twins.reshape(-1, size, size)[:, 0] == puzzles.answers[:, size : 2 * size]).all(axis=1)
    changed = ~whole  # a cycle through all columns exchanges the rows, which is a symmetry
    questions = np.where(puzzles.questions != 0, puzzles.answers, 0)
    assert not faulty_units(twins, geometry)[:, : 2 * size].any()
    assert changed.any()
    before = class_keys(questions, puzzles.answers, geometry)
    after = class_keys(np.where(puzzles.questions != 0, twins, 0), twins, geometry)
    assert (before != after)[changed].all()


@pytest.mark.parametrize("size", GEOMETRIES)
def test_a_clue_more_or_less_is_another_puzzle(size: int) -> None:
    geometry = GEOMETRIES[size]
    puzzles = puzzles_of(size).take(np.arange(20))
    changed = puzzles.questions.copy()
    blank = (changed == 0).argmax(axis=1)
    changed[np.arange(20), blank] = puzzles.answers[np.arange(20), blank]
    before = class_keys(puzzles.questions, puzzles.answers, geometry)
    after = class_keys(changed, puzzles.answers, geometry)
    assert (before != after).all()


def test_canonical_form_is_the_smallest_of_all_symmetries() -> None:
    """Against trying all 128 symmetries of a 4x4 board one by one."""
    geometry = GEOMETRIES[4]
    puzzles = puzzles_of(4).take(np.arange(25))
    moves = cell_symmetries(geometry)
    assert len(moves) == 128
    assert len(np.unique(moves, axis=0)) == 128
    forms = canonical_forms(puzzles.questions, puzzles.answers, geometry)
    for form, question, answer in zip(forms, puzzles.questions, puzzles.answers, strict=True):
        clues = (question != 0).astype(np.uint8)[moves]
        every = np.concatenate([clues, relabel(answer[moves])], axis=1)
        assert tuple(form) == min(map(tuple, every.tolist()))


def test_6x6_has_3456_symmetries_and_no_transposition() -> None:
    moves = cell_symmetries(GEOMETRIES[6])
    assert len(np.unique(moves, axis=0)) == 3456
    rows = moves // 6
    assert (rows.reshape(-1, 6, 6) == rows.reshape(-1, 6, 6)[:, :, :1]).all()
