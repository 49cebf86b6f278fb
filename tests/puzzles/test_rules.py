"""The rules of puzzles against a slow reading of them, cell by cell and path by path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.puzzles.maze.paths import FREE, GOAL, PATH, START, WALL

BOARDS = ((1, 2), (2, 2), (2, 3), (3, 2), (3, 3), (4, 4))


def meta_of(kind: str, **board: int) -> DatasetMeta:
    cells = board.get("height", 0) * board.get("width", 0)
    tokens = {"sudoku": board.get("height", 0) + 2, "maze": 6}.get(kind, 12)
    return DatasetMeta(kind, "dense", tokens, cells, 0, 0, 0, 1, board=board)


def sudoku(box_height: int, box_width: int) -> DatasetMeta:
    size = box_height * box_width
    return meta_of("sudoku", height=size, width=size, box_height=box_height, box_width=box_width)


def is_path(side: int, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return maze(side).puzzle.measures(inputs, answers)["paths"]


def is_shortest_path(side: int, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return maze(side).puzzle.measures(inputs, answers)["shortest"]


def maze(side: int) -> DatasetMeta:
    return meta_of("maze", height=side, width=side)


def solved_board(meta: DatasetMeta, random: np.random.Generator) -> np.ndarray:
    """Tokens of a solved board: a shifted pattern under a permutation of its digits."""
    size, high, wide = (meta.board[name] for name in ("height", "box_height", "box_width"))
    row, column = np.divmod(np.arange(size * size), size)
    pattern = (row % high * wide + row // high + column) % size
    return (random.permutation(size)[pattern] + 2).astype(np.uint8)


def is_solution(meta: DatasetMeta, question: np.ndarray, answer: np.ndarray) -> bool:
    """Read off the board, cell by cell."""
    size, high, wide = (meta.board[name] for name in ("height", "box_height", "box_width"))
    seen: set[tuple[Any, ...]] = set()
    for cell, (given_token, token) in enumerate(
        zip(question.tolist(), answer.tolist(), strict=True)
    ):
        digit, row, column = token - 1, cell // size, cell % size
        places = [("row", row), ("column", column), ("box", row // high, column // wide)]
        found = {(digit, *place) for place in places}
        if not 1 <= digit <= size or (given_token > 1 and given_token != token) or found & seen:
            return False
        seen |= found
    return True


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 30), board=st.sampled_from(BOARDS))
def test_solved_sudokus_are_told_from_others(seed: int, board: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    meta = sudoku(*board)
    answers = np.stack([solved_board(meta, random) for _ in range(12)])
    questions = np.where(random.random(answers.shape) < 0.4, answers, 1).astype(np.uint8)
    for spoiled in (questions, answers):
        for row in np.flatnonzero(random.random(12) < 0.4):
            cells = random.integers(meta.seq_len, size=random.integers(1, 3))
            spoiled[row, cells] = random.integers(0, meta.board["height"] + 3, size=len(cells))
    swapped = random.integers(12)  # two cells swapped have the right digits in sum
    answers[swapped, [0, 1]] = answers[swapped, [1, 0]]
    found = meta.puzzle.solved(questions, answers)
    wanted = [is_solution(meta, q, a) for q, a in zip(questions, answers, strict=True)]
    assert found.tolist() == wanted


def test_another_solution_than_the_label_obeys_the_rules() -> None:
    meta = sudoku(2, 2)
    answer = solved_board(meta, np.random.default_rng(0))
    empty = np.ones((1, 16), np.int32)
    assert meta.puzzle.solved(empty, answer[None].astype(np.int64)).tolist() == [True]


def ways(question: np.ndarray, side: int) -> Iterator[list[int]]:
    """Every way from S to G that visits no cell twice, as its cells."""
    start, goal = (int(np.flatnonzero(question == token)[0]) for token in (START, GOAL))

    def extend(way: list[int]) -> Iterator[list[int]]:
        if way[-1] == goal:
            yield way
            return
        row, column = divmod(way[-1], side)
        for r, c in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            there = r * side + c
            if 0 <= r < side and 0 <= c < side and question[there] != WALL and there not in way:
                yield from extend([*way, there])

    return extend([start])


def touches_itself(way: list[int], side: int) -> bool:
    places = [divmod(cell, side) for cell in way]
    return any(
        abs(r - s) + abs(c - d) == 1
        for number, (r, c) in enumerate(places)
        for s, d in places[number + 2 :]
    )


@settings(max_examples=80)
@given(seed=st.integers(0, 1 << 30), side=st.integers(2, 4))
def test_paths_are_told_from_other_drawings(seed: int, side: int) -> None:
    random = np.random.default_rng(seed)
    question = np.where(random.random(side * side) < 0.25, WALL, FREE).astype(np.uint8)
    question[random.choice(side * side, 2, replace=False)] = START, GOAL
    every = list(ways(question, side))
    drawings = [question, np.where(question == FREE, PATH, question)]
    for way in [every[i] for i in random.permutation(len(every))[:30]]:
        drawings.append(question.copy())
        drawings[-1][way[1:-1]] = PATH
    for drawing in list(drawings):  # a cell more, one less, a wall broken, S moved
        other = drawing.copy()
        other[random.integers(side * side)] = random.integers(0, 7)
        drawings.append(other)
    for _ in range(10):
        drawings.append(
            np.where((question == FREE) & (random.random(side**2) < 0.5), PATH, question)
        )
    answers = np.stack(drawings).astype(np.uint8)
    questions = np.repeat(question[None], len(answers), axis=0)
    plain = {tuple(sorted(way)) for way in every if not touches_itself(way, side)}
    shortest = min(map(len, every), default=0)

    def wanted(answer: np.ndarray) -> tuple[bool, bool]:
        changed = question != answer
        marked = tuple(np.flatnonzero(np.isin(answer, (START, GOAL, PATH))).tolist())
        drawn = bool((answer[changed] == PATH).all() and (question[changed] == FREE).all())
        return drawn and marked in plain, drawn and marked in plain and len(marked) == shortest

    expected = [wanted(answer) for answer in answers]
    assert is_path(side, questions, answers).tolist() == [path for path, _ in expected]
    found = is_shortest_path(side, questions, answers)
    assert found.tolist() == [short for _, short in expected]
    assert maze(side).puzzle.solved(questions, answers).tolist() == found.tolist()


def test_a_ring_beside_a_path_is_no_path() -> None:
    # As many 'o' as the longer way has.
    question = np.full((7, 7), FREE, np.uint8)
    question[0, 0], question[0, 6] = START, GOAL
    answer = question.copy()
    answer[0, 1:6] = PATH
    assert is_path(7, question.reshape(1, -1), answer.reshape(1, -1))[0]
    answer[3:6, 3:6] = PATH
    answer[4, 4] = FREE
    assert not is_path(7, question.reshape(1, -1), answer.reshape(1, -1))[0]


@pytest.mark.parametrize(
    "spoil", [(0, FREE), (1, START), (1, GOAL), (15, FREE), (1, PATH), (1, 0), (1, 255)]
)
def test_a_question_that_is_no_maze_has_no_right_answer(spoil: tuple[int, int]) -> None:
    question = np.full((1, 16), FREE, np.uint8)
    question[0, 0], question[0, 15] = START, GOAL
    answer = question.copy()
    answer[0, [4, 8, 12, 13, 14]] = PATH
    assert is_shortest_path(4, question, answer).all()
    question[0, spoil[0]] = answer[0, spoil[0]] = spoil[1]
    assert not is_path(4, question, answer).any()
    assert not is_shortest_path(4, question, answer).any()


@pytest.mark.parametrize(
    "meta",
    [
        meta_of("arc", height=30, width=30),
        meta_of("maze", height=4, width=5),
        meta_of("maze", height=65, width=65),
        meta_of("maze"),
        meta_of("sudoku", height=4, width=4),
        meta_of("sudoku", height=4, width=4, box_height=2, box_width=3),
    ],
)
def test_other_boards_have_no_rules(meta: DatasetMeta) -> None:
    assert not meta.puzzle.has_rules
