"""Units and faults of Sudoku boards, against reading them cell by cell."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_scale.puzzles.sudoku.board import GEOMETRIES, Geometry, faulty_units, repeated_cells
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from tests.support.sudoku_examples import moved, puzzles_of


def places(cell: int, geometry: Geometry) -> list[tuple[str, int]]:
    """The row, column and box of a cell."""
    row, column = divmod(cell, geometry.size)
    box = row // geometry.box_height * geometry.stacks + column // geometry.box_width
    return [("row", row), ("column", column), ("box", box)]


@pytest.mark.parametrize("size", GEOMETRIES)
def test_faults_are_those_of_a_plain_reading(size: int) -> None:
    geometry = GEOMETRIES[size]
    random = np.random.default_rng(size)
    boards = puzzles_of(size).answers[:12].astype(np.int64)
    # Blanks, digits that stand twice, and numbers that are no digits; the first board stays.
    for board in boards[1:]:
        cells = random.choice(geometry.cells, random.integers(1, 6), replace=False)
        board[cells] = random.choice([-1, 0, size, size + 1, 200, *range(1, size)], len(cells))
    faulty, repeated = faulty_units(boards, geometry), repeated_cells(boards, geometry)
    for number, board in enumerate(boards.tolist()):
        held: dict[tuple[str, int], list[int]] = {}
        for cell, digit in enumerate(board):
            for place in places(cell, geometry):
                held.setdefault(place, []).append(digit)
        for unit in range(3 * size):
            kind, which = geometry.describe_unit(unit).split()
            right = sorted(held[kind, int(which) - 1]) == list(range(1, size + 1))
            assert faulty[number, unit] == (not right)
        for cell, digit in enumerate(board):
            again = any(held[place].count(digit) > 1 for place in places(cell, geometry))
            assert repeated[number, cell] == (again and 1 <= digit <= size)
    assert not faulty[0].any()
    assert faulty[1:].any()


@pytest.mark.parametrize("size", [4, 16])
def test_what_is_wrong_with_examples_is_named(size: int) -> None:
    puzzle, examples = Sudoku.of_size(size), puzzles_of(size)
    inputs, labels = examples.questions[:6] + 1, examples.answers[:6] + 1
    assert not list(puzzle.problems(inputs, labels, unique=True))
    last = np.uint8(size + 1)
    clue = int(np.flatnonzero(inputs[1] > 1)[-1])
    labels[1, clue] = 2 if labels[1, clue] == last else last
    blank = int(np.flatnonzero(inputs[2] == 1)[-1])
    labels[2, blank] = 2 if labels[2, blank] == last else last
    inputs[3, 0] = 0
    inputs[4, : 2 * size] = 1  # rows 1 and 2 can be exchanged
    found = {row: (code, text) for row, code, text in puzzle.problems(inputs, labels, unique=True)}
    assert {row: code for row, (code, _) in found.items()} == {
        1: "E402",
        2: "E401",
        3: "E403",
        4: "E404",
    }
    row, column = divmod(clue, size)
    assert f"row {row + 1}, column {column + 1}" in found[1][1]
    assert puzzle.glyph(int(inputs[1, clue])) in found[1][1]
    assert f"row {blank // size + 1} does not hold" in found[2][1]
    assert [code for _, code, _ in puzzle.problems(inputs, labels)] == ["E402", "E401", "E403"]


@pytest.mark.parametrize("size", GEOMETRIES)
def test_symmetries_of_every_size_keep_puzzles_sound(size: int) -> None:
    """Those that augment data, and the plain ones of the tests' support, have the same keys."""
    puzzle, examples = Sudoku.of_size(size), puzzles_of(size).take(np.arange(10))
    inputs, labels = examples.questions + 1, examples.answers + 1
    keys = puzzle.symmetry.keys(inputs, labels)
    assert len(set(keys.tolist())) == 10
    for index in (1, 2, 3):
        new = puzzle.symmetry.augment(inputs, labels, np.arange(10), np.full(10, index), 7)
        assert puzzle.solved(*new).all()
        assert not (new[0] == inputs).all(axis=1).any()
        assert (puzzle.symmetry.keys(*new) == keys).all()
    plain = (moved(boards, puzzle.geometry, 3) + 1 for boards in (inputs - 1, labels - 1))
    assert (puzzle.symmetry.keys(*plain) == keys).all()


def test_letters_are_read_in_either_case_and_written_in_capitals() -> None:
    puzzle, question = Sudoku.of_size(16), puzzles_of(16).questions[0] + 1
    grid = puzzle.grid(question)
    text = puzzle.text(grid)
    assert set(text) == set(".123456789ABCDEFG")
    lines = [text[at : at + 16] for at in range(0, 256, 16)]
    drawn = "\n".join(" | ".join(line[at : at + 4] for at in (0, 4, 8, 12)) for line in lines)
    for variant in (text, text.lower(), text.replace(".", "_"), text.replace(".", "0"), drawn):
        assert (puzzle.parse(variant, "x") == grid).all()
