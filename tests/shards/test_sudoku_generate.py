"""Generated puzzles."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError
from hrm_scale.puzzles.sudoku.board import GEOMETRIES, faulty_units
from hrm_scale.puzzles.sudoku.classes import class_keys
from hrm_scale.puzzles.sudoku.solver import solve
from shards.sudoku.generate import generate
from tests.support.sudoku_examples import puzzles_of


@pytest.mark.parametrize("size", GEOMETRIES)
def test_puzzles_are_sound_unique_spread_and_different(size: int) -> None:
    geometry = GEOMETRIES[size]
    puzzles = puzzles_of(size)
    questions, answers = puzzles.questions, puzzles.answers
    assert not faulty_units(answers, geometry).any()
    assert (questions[questions != 0] == answers[questions != 0]).all()
    result = solve(questions, geometry)
    assert (result.solutions == 1).all()
    assert (result.guesses == puzzles.ratings).all()
    clues = (questions != 0).sum(axis=1)
    assert len(np.unique(clues)) >= 5
    keys = class_keys(questions, answers, geometry)
    assert len(np.unique(keys)) == len(keys)


def test_the_seed_alone_decides() -> None:
    geometry = GEOMETRIES[6]
    first, again, other = (generate(50, geometry, seed=seed).inputs for seed in (1, 1, 2))
    assert (first == again).all()
    assert not (first == other).all()


def test_min_difficulty_keeps_only_puzzles_that_need_guesses() -> None:
    assert generate(3, GEOMETRIES[6], seed=0, min_difficulty=1).ratings.min() >= 1


def test_more_puzzles_than_exist_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="ask for fewer"):
        generate(50, GEOMETRIES[4], seed=0, min_difficulty=5)
