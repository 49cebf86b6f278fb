"""The batched solver against a plain recursive one, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.puzzles.sudoku.board import GEOMETRIES, Geometry, faulty_units
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.sudoku.solver import candidates, search, solve
from tests.support.sudoku_examples import puzzles_of


def plain_solutions(board: list[int], geometry: Geometry, limit: int) -> list[list[int]]:
    """All solutions up to `limit`, cell by cell, from nothing but the rules."""
    units = [set(unit.tolist()) for unit in geometry.units]
    found: list[list[int]] = []

    def extend(cell: int) -> None:
        if len(found) >= limit:
            return
        if cell == geometry.cells:
            found.append(list(board))
            return
        if board[cell]:
            extend(cell + 1)
            return
        for digit in range(1, geometry.size + 1):
            if all(board[k] != digit for unit in units if cell in unit for k in unit):
                board[cell] = digit
                extend(cell + 1)
                board[cell] = 0

    for unit in units:
        given_digits = [board[k] for k in unit if board[k]]
        if len(set(given_digits)) != len(given_digits):
            return []
    extend(0)
    return found


@given(st.lists(st.integers(0, 4), min_size=16, max_size=16), st.integers(0, 14))
@settings(deadline=None, max_examples=60)
def test_any_4x4_board_has_as_many_solutions_as_a_plain_search_finds(
    cells: list[int], blanks: int
) -> None:
    board = np.array(cells, np.uint8)
    board[: blanks + 1] = 0
    expected = plain_solutions(board.tolist(), GEOMETRIES[4], 3)
    result = solve(board[None], GEOMETRIES[4], limit=3)
    assert result.solutions[0] == len(expected)
    if expected:
        assert result.first[0].tolist() in plain_solutions(board.tolist(), GEOMETRIES[4], 300)


@pytest.mark.parametrize("size", [4, 6])
def test_generated_puzzles_have_one_solution_by_a_plain_search(size: int) -> None:
    geometry = GEOMETRIES[size]
    puzzles = puzzles_of(size).take(np.arange(40))
    for question, answer in zip(puzzles.questions, puzzles.answers, strict=True):
        assert plain_solutions(question.tolist(), geometry, 2) == [answer.tolist()]


@pytest.mark.parametrize("size", [9, 12, 16])
def test_two_solutions_are_both_returned_and_both_fit(size: int) -> None:
    geometry = GEOMETRIES[size]
    puzzles = puzzles_of(size).take(np.arange(8))
    ambiguous = puzzles.questions.copy()
    ambiguous[:, : 5 * size] = 0  # without the first five rows nothing is unique any more
    result = solve(ambiguous, geometry)
    assert (result.solutions == 2).all()
    for solution in (result.first, result.other):
        assert not faulty_units(solution, geometry).any()
        assert (solution[ambiguous != 0] == ambiguous[ambiguous != 0]).all()
    assert (result.first != result.other).any(axis=1).all()


@pytest.mark.parametrize("size", [9, 16])
def test_results_do_not_depend_on_the_batch(size: int) -> None:
    geometry = GEOMETRIES[size]
    questions = puzzles_of(size).questions[:20]
    together = solve(questions, geometry)
    for index in range(0, 20, 4):
        alone = solve(questions[index : index + 1], geometry)
        assert alone.guesses[0] == together.guesses[index]
        assert (alone.first[0] == together.first[index]).all()


@pytest.mark.parametrize("size", [9, 16])
def test_a_contradicting_board_has_no_solution_and_an_empty_set_is_fine(size: int) -> None:
    geometry = GEOMETRIES[size]
    board = np.zeros((1, geometry.cells), np.uint8)
    board[0, [0, 1]] = size
    assert solve(board, geometry).solutions[0] == 0
    assert len(solve(board[:0], geometry).solutions) == 0


def test_a_search_ends_at_the_most_guesses() -> None:
    geometry = GEOMETRIES[9]
    questions = np.concatenate([np.zeros((1, 81), np.uint8), puzzles_of(9).questions[:3]])
    whole = solve(questions, geometry)
    limit = int(whole.guesses[1:].max()) + 1
    ended = search(candidates(questions, geometry), geometry, max_guesses=limit)
    assert ended.solutions.tolist() == [0, 1, 1, 1]
    assert ended.guesses[0] > limit
    assert (ended.first[1:] == whole.first[1:]).all()


def test_symmetries_keep_the_number_of_solutions() -> None:
    puzzle = Sudoku.of_size(6)
    puzzles = puzzles_of(6).take(np.arange(30))
    groups = np.arange(30)
    tokens, _ = puzzle.symmetry.augment(
        puzzles.questions + 1, puzzles.answers + 1, groups, groups + 1, 9
    )
    assert (solve(tokens - 1, puzzle.geometry).solutions == 1).all()
