"""When an answer breaks a rule of its puzzle, whatever the right answer is.

Sudoku: two equal digits stand in a row, column or box, or a clue was changed; empty cells break
nothing. Maze: a path cell lies on a wall of the question, its start or goal is gone, or the cells
of path, start and goal are not all connected (moves go to the four neighbours). Other kinds: none.
"""

from __future__ import annotations

import numpy as np

from hrm_scale.evaluation.failures.board import Board
from hrm_scale.evaluation.sudoku import BLANK_TOKEN

WALL, START, GOAL, PATH = 1, 3, 4, 5


def first_break(board: Board, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The first ACT step 1 ... N whose answer breaks a rule, 0 for none, int64 [n].

    questions uint8 [n, S], answers uint8 [N, n, S].
    """
    first = np.zeros(len(questions), np.int64)
    if not board.has_rules:
        return first
    test = _sudoku if board.drawn == "sudoku" else _maze
    for at, answer in enumerate(answers):
        # What has not changed was looked at before.
        fresh = (answer != answers[at - 1]).any(1) if at else np.ones(len(first), bool)
        rows = np.flatnonzero(fresh & (first == 0))
        broken = test(board, questions[rows], answer[rows])
        first[rows[broken]] = at + 1
    return first


def _sudoku(board: Board, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """bool [n] of uint8 [n, S]."""
    size = board.height
    cells = np.arange(size * size).reshape(size, size)
    # Rows of boxes and columns of boxes first, the cells inside last.
    split = cells.reshape(-1, board.box_height, size // board.box_width, board.box_width)
    units = np.concatenate((cells, cells.T, split.swapaxes(1, 2).reshape(size, size)))
    found = np.sort(answers[:, units], axis=-1)
    twice = (found[..., 1:] == found[..., :-1]) & (found[..., 1:] > BLANK_TOKEN)
    changed = (questions > BLANK_TOKEN) & (questions != answers)
    return twice.any((1, 2)) | changed.any(1)


def _maze(board: Board, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """bool [n] of uint8 [n, S]."""
    ends = (questions == START) | (questions == GOAL)
    broken = (ends & (questions != answers)).any(1)
    broken |= ((questions == WALL) & (answers == PATH)).any(1)
    rest = np.flatnonzero(~broken)
    sides = (len(rest), board.height, board.width)
    route = ((answers[rest] == PATH) | ends[rest]).reshape(sides)
    starts = (questions[rest] == START).reshape(sides)
    broken[rest] = (route != _reached(route, starts)).any((1, 2))
    return broken


def _reached(route: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The cells of `route` that are connected with `starts`, bool [n, h, w] each."""
    reached = route & starts
    while True:
        wave = reached.copy()
        wave[:, 1:] |= reached[:, :-1]
        wave[:, :-1] |= reached[:, 1:]
        wave[:, :, 1:] |= reached[:, :, :-1]
        wave[:, :, :-1] |= reached[:, :, 1:]
        wave &= route
        if np.array_equal(wave, reached):
            return reached
        reached = wave
