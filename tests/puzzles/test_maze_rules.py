"""The label rule against a plain queue, and what is called wrong with a record."""

from __future__ import annotations

import csv
import gzip
import re
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.puzzles.maze.layout import layout_keys, turn
from hrm_scale.puzzles.maze.paths import (
    FREE,
    GOAL,
    PATH,
    START,
    WALL,
    is_shortest_path,
    shortest_moves,
)
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.maze.rules import (
    CHARACTERS,
    bad_rows,
    follows_rule,
    row_problem,
    rule_labels,
)
from hrm_scale.puzzles.maze.wave import MAX_SIDE, far_cells, pack, peel, single, sweep, unpack


def tokens(*rows: str) -> np.ndarray:
    return np.array([CHARACTERS.index(c) + 1 for c in "".join(rows)], np.uint8)


def questions(seed: int, count: int, side: int, share: float = 0.35) -> np.ndarray:
    random = np.random.default_rng(seed)
    boards = np.where(random.random((count, side * side)) < share, WALL, FREE).astype(np.uint8)
    for board in boards:
        board[random.choice(side * side, 2, replace=False)] = START, GOAL
    return boards


def by_queue(question: np.ndarray, side: int) -> np.ndarray | None:
    """The label as a breadth-first search finds it: down, left, right, up, first come."""
    start, goal = (int(np.flatnonzero(question == token)[0]) for token in (START, GOAL))
    parent = {start: start}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        row, column = divmod(cell, side)
        for r, c in (
            (row + 1, column),
            (row, column - 1),
            (row, column + 1),
            (row - 1, column),
        ):
            there = r * side + c
            inside = 0 <= r < side and 0 <= c < side
            if inside and question[there] != WALL and there not in parent:
                parent[there] = cell
                queue.append(there)
    if goal not in parent:
        return None
    label = question.copy()
    cell = parent[goal]
    while cell != start:
        label[cell] = PATH
        cell = parent[cell]
    return label


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 30), side=st.integers(2, 12), share=st.floats(0, 0.6))
def test_labels_are_those_of_a_queue(seed: int, side: int, share: float) -> None:
    boards = questions(seed, 5, side, share)
    labels, moves = rule_labels(boards, side)
    for board, label, length in zip(boards, labels, moves, strict=True):
        wanted = by_queue(board, side)
        if wanted is None:
            assert length == -1
            assert (label == board).all()
        else:
            assert (label == wanted).all()
            assert length == (label == PATH).sum() + 1
    assert (shortest_moves(boards, side) == moves).all()
    assert (bad_rows(boards, labels, side) == (moves < 0)).all()


@pytest.mark.parametrize("side", [32, 33, MAX_SIDE])
def test_wide_boards_fill_their_words(side: int) -> None:
    boards = questions(1, 4, side, 0.3)
    labels, moves = rule_labels(boards, side)
    for board, label, length in zip(boards, labels, moves, strict=True):
        wanted = by_queue(board, side)
        assert (length == -1) if wanted is None else (label == wanted).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 30))
def test_whatever_is_spoiled_both_checks_agree(seed: int) -> None:
    random = np.random.default_rng(seed)
    inputs = questions(seed, 30, 6, 0.2)
    labels = rule_labels(inputs, 6)[0]
    for boards in (inputs, labels):
        hit = random.random(30) < 0.6
        boards[hit, random.integers(36, size=hit.sum())] = random.choice(
            [0, 1, 2, 3, 4, 5, 6, 255], size=hit.sum()
        )
    said = [row_problem(q, a, 6) for q, a in zip(inputs, labels, strict=True)]
    assert bad_rows(inputs, labels, 6).tolist() == [text is not None for text in said]


QUESTION = ("S # ", "    ", "  # ", "   G")


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        (QUESTION, ("S # ", "o   ", "o # ", "oooG"), None),
        (QUESTION, ("So# ", " oo ", "  #o", "   G"), "has 4 cells 'o', the shortest path has 5"),
        (QUESTION, ("So# ", " ooo", "  #o", "   G"), None),
        (("S # ", "  S ", "  # ", "   G"), QUESTION, "question has 2 S"),
        (("  # ", "    ", "  # ", "   G"), QUESTION, "question has 0 S"),
        (QUESTION, ("S # ", "    ", "  # ", "   G"), "0 cells 'o', the shortest path has 5"),
        (QUESTION, ("SoSo", "    ", "  # ", "   G"), "'S' where the question has '#', at row 1, "),
        (QUESTION, ("So# ", "ooo ", "  #o", "o  G"), "has 6 cells 'o', the shortest path has 5"),
        (QUESTION, ("So# ", "o   ", "oo# ", "o  G"), "not one path"),
        (QUESTION, ("o # ", "o   ", "o # ", "oooG"), "'o' where the question has 'S'"),
        (("S#  ", "#   ", "  # ", "   G"), ("S#  ", "#   ", "  # ", "   G"), "no path leads"),
    ],
)
def test_problems_in_words(
    question: tuple[str, ...], answer: tuple[str, ...], words: str | None
) -> None:
    inputs, labels = tokens(*question), tokens(*answer)
    problem = row_problem(inputs, labels, 4)
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert re.search(words, problem), problem
    assert bad_rows(inputs[None], labels[None], 4).tolist() == [words is not None]


def test_another_shortest_path_is_valid_but_breaks_the_rule() -> None:
    question = tokens("S  ", "   ", "  G")
    ours, other = tokens("S  ", "o  ", "ooG"), tokens("Soo", "  o", "  G")
    both = np.stack([question, question]), np.stack([ours, other])
    assert is_shortest_path(*both, 3).tolist() == [True, True]
    assert follows_rule(*both, 3).tolist() == [True, False]


def test_a_ring_beside_a_path_is_not_valid() -> None:
    # As many 'o' as the shortest path has, four of them in a ring, the path cut short.
    board = np.full((6, 6), FREE, np.uint8)
    board[0, 0], board[5, 5] = START, GOAL
    answer = board.copy()
    answer[0, 1] = answer[0, 2] = answer[5, 4] = answer[5, 3] = answer[5, 2] = PATH
    answer[2:4, 2:4] = PATH
    assert (answer == PATH).sum() == 9
    assert not is_shortest_path(board.reshape(1, -1), answer.reshape(1, -1), 6)[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_real_labels_follow_the_rule(shared: Path, split: str) -> None:
    with gzip.open(shared / "data" / "maze" / f"{split}.csv.gz", "rt", newline="") as stream:
        rows = list(csv.DictReader(stream))
    inputs = np.stack([tokens(row["question"]) for row in rows])
    labels = np.stack([tokens(row["answer"]) for row in rows])
    assert follows_rule(inputs, labels, 30).all()
    assert not bad_rows(inputs, labels, 30).any()
    assert shortest_moves(inputs, 30).tolist() == [int(row["rating"]) for row in rows]
    keys = layout_keys(inputs, 30)
    assert len(set(keys)) == len(keys)


def test_turned_boards_have_one_layout_and_come_back() -> None:
    boards = questions(3, 8, 5)
    turned = turn(boards, np.arange(8), 5)
    assert layout_keys(turned, 5) == layout_keys(boards, 5)
    assert len(set(layout_keys(boards, 5))) == 8
    assert (turned[1].reshape(5, 5) == np.rot90(boards[1].reshape(5, 5))).all()
    inverse = np.array([0, 3, 2, 1, 4, 5, 6, 7])
    assert (turn(turned, inverse, 5) == boards).all()


def test_mazes_are_the_same_whatever_shortest_path_is_drawn() -> None:
    """Of a turned maze the label rule may draw another path than the turned one."""
    boards = np.full((2, 9), FREE, np.uint8)
    boards[:, 0], boards[0, 8], boards[1, 5] = START, GOAL, GOAL
    labels = rule_labels(boards, 3)[0]
    turned = np.stack([np.rot90(board.reshape(3, 3), 2).ravel() for board in boards])
    drawn = rule_labels(turned, 3)[0]
    assert not np.array_equal(np.rot90(drawn[0].reshape(3, 3), 2).ravel(), labels[0])
    symmetry = Maze(3, 3).symmetry
    keys = symmetry.keys(boards, labels)
    assert (symmetry.keys(turned, drawn) == keys).all()
    assert keys[0] != keys[1]


@pytest.mark.parametrize("side", [7, 40])
def test_searches_agree_with_distances(side: int) -> None:
    boards = questions(5, 20, side)
    free = pack(boards != WALL, side)
    assert (unpack(free) == (boards != WALL)).all()
    row, column = np.divmod((boards == START).argmax(axis=1), side)
    start = single(row, column, free)
    distances = np.full(boards.shape, -1)
    for board, found in zip(boards, distances, strict=True):
        for cell in np.flatnonzero(board != WALL):
            question = np.where(board == WALL, WALL, FREE).astype(np.uint8)
            question[board == START] = START
            if board[cell] == START:
                found[cell] = 0
                continue
            if side > 10 and cell % 97:
                continue
            question[cell] = GOAL
            found[cell] = shortest_moves(question[None], side)[0]
    eccentricity, last, reached = sweep(free, start)
    far = unpack(far_cells(free, start, 6))
    known = distances >= 0
    if side <= 10:
        assert (eccentricity == distances.max(axis=1)).all()
        assert (unpack(last) == (distances == eccentricity[:, None])).all()
        assert (unpack(reached) == known).all()
        assert (far == (distances >= 6)).all()
    else:
        assert unpack(reached)[known].all()
        assert (far[known] == (distances >= 6)[known]).all()


def test_peeling_takes_dead_ends_only() -> None:
    boards = tokens("  # #", " ## #", "#  ##", "   ##", "#### ").reshape(1, -1) != WALL
    peeled = unpack(peel(pack(boards, 5), 3)).reshape(5, 5)
    wanted = np.zeros((5, 5), bool)
    wanted[2:4, 1:3] = True
    assert (peeled == wanted).all()
