"""Sudoku symmetries: valid boards, kept clues, identity, and equality with a plain rendering."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import BOARDS, puzzles
from hrm_scale.base.counter import GAMMA, SYMMETRY, make_key, mix
from hrm_scale.puzzles.sudoku.augment import _BLOCK
from hrm_scale.puzzles.sudoku.board import GEOMETRIES
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.sudoku.tables import symmetry_tables
from hrm_scale.puzzles.symmetry import draw_augmentations
from tests.support.sudoku_examples import puzzles_of

SYMMETRIES = {size: Sudoku.of_size(size).symmetry for size in (4, 6, 9)}


def is_valid(labels: np.ndarray, board: dict[str, int]) -> bool:
    size = board["height"]
    digits = labels.reshape(-1, size, size).astype(int) - 1
    wanted = np.arange(1, size + 1)
    height, width = board["box_height"], board["box_width"]
    boxes = digits.reshape(-1, size // height, height, size // width, width).swapaxes(2, 3)
    units = (digits, digits.swapaxes(1, 2), boxes.reshape(-1, size, size))
    return all((np.sort(unit, axis=2) == wanted).all() for unit in units)


def line_orders(size: int, per_band: int) -> list[list[int]]:
    bands = [range(b * per_band, (b + 1) * per_band) for b in range(size // per_band)]
    orders = []
    for order in itertools.permutations(range(len(bands))):
        for inner in itertools.product(itertools.permutations(range(per_band)), repeat=len(bands)):
            orders.append(
                [
                    band * per_band + k
                    for band, lines in zip(order, inner, strict=True)
                    for k in lines
                ]
            )
    return orders


def plain_symmetry(
    cells: np.ndarray, group: int, index: int, seed: int, board: dict[str, int]
) -> np.ndarray:
    """The documented definition, cell by cell, in plain Python."""
    size = board["height"]
    key = make_key(SYMMETRY, seed, group << 32 | index)
    first, second = key, mix(key + GAMMA)
    if index == 0:
        first = second = 0
    rows = line_orders(size, board["box_height"])
    columns = line_orders(size, board["box_width"])
    variants = len(rows) * (2 if board["box_height"] == board["box_width"] else 1)
    rank = (first >> 32) * math.factorial(size) >> 32
    digits = next(itertools.islice(itertools.permutations(range(1, size + 1)), rank, None))
    row_rank = (first & 0xFFFFFFFF) * variants >> 32
    row_order = rows[row_rank % len(rows)]
    column_order = columns[(second >> 32) * len(columns) >> 32]
    old, new = cells.reshape(size, size), np.zeros((size, size), np.uint8)
    for r, c in itertools.product(range(size), repeat=2):
        at = (c, r) if row_rank >= len(rows) else (r, c)
        token = old[row_order[at[0]], column_order[at[1]]]
        new[r, c] = token if token < 2 else digits[token - 2] + 1
    return new.reshape(-1)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_every_result_is_a_valid_sudoku_that_keeps_its_clues(size: int) -> None:
    count = 2 * _BLOCK + 3
    inputs, labels = puzzles(size, count)
    groups = np.arange(count)
    new_inputs, new_labels = SYMMETRIES[size].augment(inputs, labels, groups, groups + 1, 0)
    assert is_valid(new_labels, BOARDS[size])
    clue = new_inputs != 1
    assert (new_inputs[clue] == new_labels[clue]).all()
    assert (clue.sum(1) == (inputs != 1).sum(1)).all()
    assert (new_labels != labels).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("size", [4, 6, 9])
def test_index_zero_is_the_identity(size: int) -> None:
    inputs, labels = puzzles(size, 50)
    result = SYMMETRIES[size].augment(inputs, labels, np.arange(50), np.zeros(50, int), 9)
    assert (result[0] == inputs).all()
    assert (result[1] == labels).all()


@settings(deadline=None, max_examples=30)
@given(
    size=st.sampled_from([4, 6, 9]),
    group=st.integers(0, 2**31 - 1),
    index=st.integers(0, 2**20),
    seed=st.integers(0, 2**32),
)
def test_equals_the_documented_definition(size: int, group: int, index: int, seed: int) -> None:
    inputs, labels = puzzles(size, 2)
    result = SYMMETRIES[size].augment(
        inputs, labels, np.array([group, group]), np.array([index, index]), seed
    )
    for new, old in zip(result, (inputs, labels), strict=True):
        for row in range(2):
            assert (new[row] == plain_symmetry(old[row], group, index, seed, BOARDS[size])).all()


def test_result_depends_on_nothing_but_group_index_and_seed() -> None:
    inputs, labels = puzzles(9, 40)
    groups, index = np.arange(40) % 7, np.arange(40)
    together = SYMMETRIES[9].augment(inputs, labels, groups, index, 0)
    for row in range(40):
        one = slice(row, row + 1)
        alone = SYMMETRIES[9].augment(inputs[one], labels[one], groups[one], index[one], 0)
        assert (alone[0][0] == together[0][row]).all()
    other = SYMMETRIES[9].augment(inputs, labels, groups, index, 1)
    assert (other[1][1:] != together[1][1:]).any(axis=1).all()


def test_four_by_four_reaches_all_symmetries_evenly() -> None:
    # 4x4: 24 relabellings, 8 row orders, 8 column orders, 2 by transposition.
    tables = symmetry_tables(4, 4, 2, 2)
    assert (len(tables.rows), tables.row_variants, tables.column_variants) == (16, 8, 8)
    labels = puzzles(4, 1)[1]
    count = 20000
    many = np.repeat(labels, count, axis=0)
    result = SYMMETRIES[4].augment(many, many, np.zeros(count, int), np.arange(1, count + 1), 0)[1]
    seen = Counter(map(bytes, result))
    # A 4x4 board of this kind has far fewer images than symmetries; all must be about as frequent.
    expected = count / len(seen)
    chi_square = sum((n - expected) ** 2 / expected for n in seen.values())
    assert chi_square < len(seen) + 5 * math.sqrt(2 * len(seen))


def test_draws_are_uniform_and_keyed_by_seed_epoch_and_offset() -> None:
    drawn = draw_augmentations(9, 0, 0, 0, 50000)
    counts = np.bincount(drawn, minlength=10)
    assert len(counts) == 10
    assert ((counts - 5000) ** 2 / 5000).sum() < 30
    assert (draw_augmentations(9, 0, 0, 100, 50) == drawn[100:150]).all()
    assert (draw_augmentations(9, 0, 1, 0, 100) != drawn[:100]).any()
    assert (draw_augmentations(9, 1, 0, 0, 100) != drawn[:100]).any()


def test_a_board_that_is_no_sudoku_is_refused() -> None:
    with pytest.raises(ValueError, match="no Sudoku"):
        Sudoku(4, 4, 3, 2)


@pytest.mark.parametrize("size", GEOMETRIES)
def test_the_maps_of_symmetries_say_what_augmenting_does(size: int) -> None:
    puzzle, examples = Sudoku.of_size(size), puzzles_of(size).take(np.arange(20))
    boards = examples.questions + 1, examples.answers + 1
    groups, index = np.arange(20), np.arange(20) % 5
    made = puzzle.symmetry.augment(*boards, groups, index, 3)
    maps = puzzle.symmetry.maps(groups, index, 3)
    for new, old in zip(made, boards, strict=True):
        assert (maps.apply(old) == new).all()
        assert (maps.undo(new) == old).all()
    assert (made[0][index == 0] == boards[0][index == 0]).all()
