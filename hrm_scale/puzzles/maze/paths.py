"""The tokens of a maze, and what makes a drawn path right.

A board of side x side cells: walls, free cells, one start S and one goal G; moves go to the four
neighbours. An answer is the board with free cells turned into 'o'.
"""

from __future__ import annotations

import numpy as np

from hrm_scale.puzzles.maze.wave import pack, sizes, waves, waves_with_ties

PAD, WALL, FREE, START, GOAL, PATH = range(6)
_BLOCK = 512


def are_mazes(inputs: np.ndarray) -> np.ndarray:
    """bool [n]: walls and free cells, one S and one G, nothing else? uint8 [n, side * side]."""
    strange = ((inputs < WALL) | (inputs > GOAL)).any(axis=1)
    counts = [(inputs == token).sum(axis=1) for token in (START, GOAL)]
    return ~strange & (counts[0] == 1) & (counts[1] == 1)


def connected(route: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The cells of `route` that moves along it reach from `starts`, bool [n, h, w] each."""
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


def is_path(inputs: np.ndarray, answers: np.ndarray, side: int) -> np.ndarray:
    """bool [n]: is the question a maze, and do the 'o' of the answer mark a way from S to G?

    uint8 [n, side * side], any tokens. A way may be longer than the shortest, but not run along
    itself: cells of it that touch are neighbours along it, so that the drawing says where it goes.
    """
    good = _drawn_lines(inputs, answers, side)
    for rows in _blocks(good):
        marked = _marked(answers[rows])
        reached = np.ones(len(rows), np.int64)
        for front in waves(pack(marked, side), pack(answers[rows] == START, side)):
            reached += sizes(front)
        good[rows] = reached == marked.sum(axis=1)
    return good


def is_shortest_path(inputs: np.ndarray, answers: np.ndarray, side: int) -> np.ndarray:
    """bool [n]: is the question a maze, and do the 'o' of the answer mark a shortest way?

    uint8 [n, side * side], any tokens. This is the looser measure of an answer; the strict one
    compares it with the label token by token.
    """
    good = _drawn_lines(inputs, answers, side)
    for rows in _blocks(good):
        # A way and separate rings are lines too, but a way alone has as many cells as there may be.
        moves = shortest_moves(inputs[rows], side)
        good[rows] = (answers[rows] == PATH).sum(axis=1) == moves - 1
    return good


def shortest_moves(inputs: np.ndarray, side: int) -> np.ndarray:
    """Moves of a shortest path from S to G, int64 [n]; -1 where there is none."""
    moves = np.full(len(inputs), -1, np.int64)
    for start in range(0, len(inputs), _BLOCK):
        part = slice(start, start + _BLOCK)
        goal = pack(inputs[part] == GOAL, side)
        moves_here = moves[part]
        start_cell = pack(inputs[part] == START, side)
        for distance, front in enumerate(waves(pack(inputs[part] != WALL, side), start_cell), 1):
            moves_here[((front & goal) != 0).any(axis=0)] = distance
            if (moves_here >= 0).all():
                break
    return moves


def count_shortest_paths(inputs: np.ndarray, side: int) -> np.ndarray:
    """Shortest paths from S to G of each maze (uint8 [n, side * side]), int64 [n]: 0, 1, or 2 for
    several."""
    count = np.zeros(len(inputs), np.int64)
    for start in range(0, len(inputs), _BLOCK):
        part = slice(start, start + _BLOCK)
        here = count[part]
        goal = pack(inputs[part] == GOAL, side)
        start_cell = pack(inputs[part] == START, side)
        for front, several in waves_with_ties(pack(inputs[part] != WALL, side), start_cell):
            here += ((front & goal) != 0).any(axis=0)
            here += ((several & goal) != 0).any(axis=0)
            if (here > 0).all():
                break
    return count


def _drawn_lines(inputs: np.ndarray, answers: np.ndarray, side: int) -> np.ndarray:
    """bool [n]: a maze with only free cells turned into 'o', in which S and G have one marked
    neighbour and every 'o' has two; so there is one line from S to G, and rings at the most."""
    good = are_mazes(inputs)
    good &= ~((inputs != answers) & ~((inputs == FREE) & (answers == PATH))).any(axis=1)
    for rows in _blocks(good):
        marked = _marked(answers[rows])
        degrees = _neighbours(marked, side)
        wanted = np.where(answers[rows] == PATH, 2, 1)
        good[rows] = ((degrees == wanted) | ~marked).all(axis=1)
    return good


def _blocks(wanted: np.ndarray) -> list[np.ndarray]:
    """The numbers of the wanted rows, some at a time."""
    rows = np.flatnonzero(wanted)
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


def _marked(answers: np.ndarray) -> np.ndarray:
    return answers >= START


def _neighbours(marked: np.ndarray, side: int) -> np.ndarray:
    """How many of the four neighbours of each cell are marked: int8 of bool [n, side * side]."""
    board = marked.reshape(-1, side, side).view(np.int8)
    total = np.zeros_like(board)
    total[:, 1:] += board[:, :-1]
    total[:, :-1] += board[:, 1:]
    total[:, :, 1:] += board[:, :, :-1]
    total[:, :, :-1] += board[:, :, 1:]
    return total.reshape(marked.shape)
