"""Breadth-first search of many mazes at once, a bit for each cell.

The cells of one row of a maze are the bits of one word (bit c is column c), and a *board set* is an
array of words [side, n]: row r of all n mazes lies together. One step of the search is then a few
shifts and ORs of whole arrays, whatever the mazes look like. Words are uint32 up to a side of 32,
else uint64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MAX_SIDE = 64


def pack(cells: np.ndarray, side: int) -> np.ndarray:
    """The board set of bool [n, side * side]. ValueError for a side above MAX_SIDE."""
    if not 1 <= side <= MAX_SIDE or cells.shape[1] != side * side:
        raise ValueError(f"{cells.shape[1]} cells are no board of side {side} (1 to {MAX_SIDE})")
    width = 32 if side <= 32 else 64
    wide = np.zeros((len(cells), side, width), bool)
    wide[:, :, :side] = cells.reshape(len(cells), side, side)
    words = np.packbits(wide, axis=2, bitorder="little").view(f"<u{width // 8}")[:, :, 0]
    return np.ascontiguousarray(words.T.astype(words.dtype.newbyteorder("=")))


def unpack(boards: np.ndarray) -> np.ndarray:
    """bool [n, side * side] of a board set."""
    side, count = boards.shape
    words = np.ascontiguousarray(boards.T).astype(boards.dtype.newbyteorder("<"))
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return bits.reshape(count, side, -1)[:, :, :side].reshape(count, -1).astype(bool)


def single(rows: np.ndarray, columns: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Boards with one cell each: integers [n] to a board set of the side and type of `like`."""
    boards = np.zeros((len(like), len(rows)), like.dtype)
    boards[rows, np.arange(len(rows))] = np.left_shift(
        like.dtype.type(1), columns.astype(like.dtype)
    )
    return boards


def one_of(boards: np.ndarray) -> np.ndarray:
    """Of each board only its first cell (of the top row that has any); empty ones stay empty."""
    rows = (boards != 0).argmax(axis=0)
    number = np.arange(boards.shape[1])
    words = boards[rows, number]
    only = np.zeros_like(boards)
    only[rows, number] = words & (~words + words.dtype.type(1))
    return only


def sizes(boards: np.ndarray) -> np.ndarray:
    """Cells of each board, int64 [n]."""
    return np.bitwise_count(boards).sum(axis=0, dtype=np.int64)


def peel(free: np.ndarray, rounds: int) -> np.ndarray:
    """The boards without dead ends: `rounds` times all cells with at most one neighbour are taken.

    What was connected stays so, and of a shortest path at most `rounds` cells go at each end.
    """
    for _ in range(rounds):
        free = free & _beside_two(free)
    return free


def _beside_two(boards: np.ndarray) -> np.ndarray:
    """The cells with at least two neighbours in a board set."""
    left, right = boards << boards.dtype.type(1), boards >> boards.dtype.type(1)
    above, below = np.zeros_like(boards), np.zeros_like(boards)
    above[1:], below[:-1] = boards[:-1], boards[1:]
    return left & right | above & below | (left | right) & (above | below)


def waves(free: np.ndarray, start: np.ndarray) -> Iterator[np.ndarray]:
    """The cells at distance 1, 2, 3 ... from `start`, each as a board set.

    free, start: board sets; start may hold several cells of a board, or none. Ends after the first
    distance at which no board has a cell left. A yielded array is not written to again.
    """
    unseen = free & ~start
    front = start
    while True:
        front = _next(front, unseen)
        if not front.any():
            return
        unseen ^= front
        yield front


def waves_with_ties(free: np.ndarray, start: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`waves`, each with those of its cells that more than one shortest path leads to."""
    before, ties = start, np.zeros_like(start)
    for front in waves(free, start):
        ties = front & _beside_two(before) | _next(ties, front)
        yield front, ties
        before = front


def _next(front: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    one = front.dtype.type(1)
    after = np.left_shift(front, one)
    after |= np.right_shift(front, one)
    after[1:] |= front[:-1]
    after[:-1] |= front[1:]
    after &= unseen
    return after


def sweep(free: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(eccentricity int64 [n], last wave, all cells reached) of a search from `start`.

    The last wave holds the cells farthest from the start. Boards that are done are dropped on the
    way: most end long before the last one.
    """
    count = free.shape[1]
    eccentricity = np.zeros(count, np.int64)
    last, missed = np.zeros_like(free), np.zeros_like(free)
    owner = np.arange(count)
    front, unseen = start, free & ~start
    distance = 0
    over = np.zeros(count, bool)
    while owner.size:
        after = _next(front, unseen)
        unseen ^= after
        ended = (np.bitwise_or.reduce(after, axis=0) == 0) & ~over
        if ended.any():
            done = owner[ended]
            eccentricity[done] = distance
            last[:, done] = front[:, ended]
            missed[:, done] = unseen[:, ended]
            over |= ended
            if over.mean() > 0.25:
                stay = ~over
                owner, after, unseen = owner[stay], after[:, stay], unseen[:, stay]
                over = np.zeros(owner.size, bool)
        front = after
        distance += 1
    return eccentricity, last, free & ~missed | start


def far_cells(free: np.ndarray, start: np.ndarray, distance: int) -> np.ndarray:
    """The cells that `start` reaches in `distance` (at least 1) or more moves, as a board set."""
    far = np.zeros_like(free)
    owner = np.arange(free.shape[1])
    front, unseen = start, free & ~start
    reached = 0
    while owner.size:
        front = _next(front, unseen)
        unseen ^= front
        reached += 1
        if reached >= distance:
            far[:, owner] |= front
        if reached % 8 == 0 or reached >= distance:
            alive = np.bitwise_or.reduce(front, axis=0) != 0
            if alive.mean() < 0.75:
                owner, front, unseen = owner[alive], front[:, alive], unseen[:, alive]
    return far
