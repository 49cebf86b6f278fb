"""A Sudoku solver for many boards of up to 16x16 at once, in numpy.

Candidates are bit masks `uint16 [cells, n]` (bit d - 1 for digit d), with the boards along the last
axis so that every operation runs over contiguous memory. One pass applies naked and hidden singles
to all boards of a batch; boards that stand still are split on a cell with the fewest candidates.
The search is exhaustive, depth first over a stack of batches. What it finds for a board with one
solution does not depend on the boards beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from hrm_scale.base.machine import usable_cores
from hrm_scale.puzzles.sudoku.board import Geometry

_BATCH = 2048
_PASSES = 3
_MOST_THREADS = 8
_COUNT_BATCH = 256
"""For few boards: the smaller it is, the deeper the search goes before it goes wide."""
_COUNT_GUESSES = 50_000
"""Of 39,000 published hard 9x9 boards the hardest needs 1,325. A quarter of a second per 9x9 board,
some seconds per 16x16 board."""
UNCOUNTED = -1
"""`count_solutions` gave up the search."""


class Solutions(NamedTuple):
    """What `solve` found for each board."""

    solutions: np.ndarray
    """Solutions found, at most the limit: int64 [n]."""
    first: np.ndarray
    """One solution, zeros if there is none: uint8 [n, cells]."""
    other: np.ndarray
    """A second solution, zeros if there is none: uint8 [n, cells]."""
    guesses: np.ndarray
    """Times the search had to split: int64 [n]. 0 = solved by singles alone."""


def candidates(boards: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Masks `uint16 [cells, n]` for boards `uint8 [n, cells]`: a clue allows only itself."""
    every = np.uint16((1 << geometry.size) - 1)
    clue = np.uint16(1) << np.maximum(boards, 1).astype(np.uint16) - np.uint16(1)
    return np.ascontiguousarray(np.where(boards == 0, every, clue).T)


def boards_of(masks: np.ndarray) -> np.ndarray:
    """Boards `uint8 [n, cells]` of masks with one candidate each, `uint16 [cells, n]`."""
    return (np.bitwise_count(masks - np.uint16(1)) + np.uint8(1)).T.astype(np.uint8)


def propagate(masks: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """One pass of naked and hidden singles over `masks` (`uint16 [cells, n]`).

    Returns the new masks and, per board, whether a contradiction was met (bool [n]).
    """
    count = masks.shape[1]
    bands, height, stacks, width = (
        geometry.bands,
        geometry.box_height,
        geometry.stacks,
        geometry.box_width,
    )
    shape = (bands, height, stacks, width, count)
    every = np.uint16((1 << geometry.size) - 1)
    one = np.uint16(1)
    cell_axes = [(i, j) for i in range(stacks) for j in range(width)]

    def unit_views(cube: np.ndarray) -> list[list[np.ndarray]]:
        """For rows, columns, boxes: the list of their 1st, 2nd ... cells in all units at once."""
        rows = [cube[:, :, s, w] for s, w in cell_axes]
        columns = [cube[b, h] for b in range(bands) for h in range(height)]
        boxes = [cube[:, h, :, w] for h in range(height) for w in range(width)]
        return [rows, columns, boxes]

    def once_and_twice(views: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Bits seen in at least one and in at least two of the views."""
        if len(views) == 1:
            return views[0], np.zeros_like(views[0])
        seen, twice = views[0] | views[1], views[0] & views[1]
        for view in views[2:]:
            twice |= seen & view
            seen |= view
        return seen, twice

    def spread(parts: list[np.ndarray]) -> np.ndarray:
        """Per cell, the union over its row, column and box."""
        rows, columns, boxes = parts
        lines = rows[:, :, None, None] | columns[None, None]
        lines |= boxes[:, None, :, None]
        return lines.reshape(masks.shape)

    # In-place operators below: a fresh array of this size costs as much as two operations on it.
    solved = _mask_where_zero(masks & (masks - one))
    bad = np.zeros(count, bool)
    taken: list[np.ndarray] = []
    for views in unit_views((masks & solved).reshape(shape)):
        seen, twice = once_and_twice(views)
        bad |= twice.reshape(-1, count).any(axis=0)
        taken.append(seen)
    left = spread(taken)
    np.invert(left, out=left)
    left |= solved
    left &= masks
    bad |= ~left.all(axis=0)

    only: list[np.ndarray] = []
    for views in unit_views(left.reshape(shape)):
        seen, twice = once_and_twice(views)
        bad |= (seen != every).reshape(-1, count).any(axis=0)
        seen &= ~twice
        only.append(seen)
    forced = spread(only)
    forced &= left
    surplus = forced - one
    surplus &= forced
    bad |= surplus.any(axis=0)
    left &= _mask_where_zero(forced)
    left |= forced
    return left, bad


def _mask_where_zero(values: np.ndarray) -> np.ndarray:
    """All ones where a value is 0, else 0. Several times faster than `np.where`."""
    ones = (values != 0).astype(np.uint16)
    ones -= np.uint16(1)
    return ones


def split_cell(masks: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Per board the unsolved cell to split: int64 [n].

    It is the one with the fewest candidates; on ties the one that shares its units with the most
    cells of two candidates (a guess there forces the most), then the first.
    """
    counts = np.bitwise_count(masks)
    pairs = (counts == 2).view(np.uint8)
    cube = pairs.reshape(
        geometry.bands, geometry.box_height, geometry.stacks, geometry.box_width, -1
    )
    near = (
        cube.sum(axis=(2, 3), dtype=np.uint8, keepdims=True)
        + cube.sum(axis=(0, 1), dtype=np.uint8, keepdims=True)
        + cube.sum(axis=(1, 3), dtype=np.uint8, keepdims=True)
    ).reshape(masks.shape)
    np.minimum(near, 31, out=near)  # only boards above 9x9 can exceed it
    score = np.minimum(counts - np.uint8(2), 6) * np.uint8(32) + (np.uint8(31) - near)
    score[counts == 1] = 255
    return score.argmin(axis=0)


def solve(
    boards: np.ndarray,
    geometry: Geometry,
    *,
    limit: int = 2,
    progress: Callable[[int], None] | None = None,
) -> Solutions:
    """Search every board (`uint8 [n, cells]`) until `limit` solutions of it are found.

    Large sets are dealt to threads (numpy works outside the interpreter's lock). `progress` is
    called with the number of boards taken up since the last call, from any thread.
    """
    total = len(boards)
    threads = max(1, min(usable_cores(), _MOST_THREADS, total // _BATCH))
    # Interleaved, because neighbours in a file tend to be equally hard.
    shares = [np.arange(first, total, threads) for first in range(threads)]

    stop = threading.Event()

    def work(share: np.ndarray) -> Solutions:
        masks = candidates(boards[share], geometry)
        return search(masks, geometry, limit=limit, progress=progress, stop=stop)

    if threads == 1:
        return work(shares[0])
    with ThreadPoolExecutor(threads) as pool:
        try:
            parts = list(pool.map(work, shares))
        except BaseException:
            stop.set()  # Ctrl-C must not wait until the threads have finished their share
            raise
    order = np.argsort(np.concatenate(shares), kind="stable")
    return Solutions(*(np.concatenate(columns)[order] for columns in zip(*parts, strict=True)))


def count_solutions(boards: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Solutions of each board (`uint8 [n, cells]`), int64 [n]: 0, 1, or 2 for several.

    UNCOUNTED where the search takes too long, so that no board holds up its caller.
    """
    found = search(
        candidates(boards, geometry), geometry, batch=_COUNT_BATCH, max_guesses=_COUNT_GUESSES
    )
    given_up = (found.solutions < 2) & (found.guesses > _COUNT_GUESSES)
    return np.where(given_up, UNCOUNTED, found.solutions)


def search(
    masks: np.ndarray,
    geometry: Geometry,
    *,
    limit: int = 2,
    progress: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
    batch: int = _BATCH,
    max_guesses: int | None = None,
) -> Solutions:
    """`solve`, from candidates `uint16 [cells, n]` instead of boards, in this thread.

    Once `stop` is set it returns what it has, which is incomplete; so it is for boards with more
    than `max_guesses` guesses. At most `batch` boards are worked on at once.
    """
    total = masks.shape[1]
    count = np.zeros(total, np.int64)
    guesses = np.zeros(total, np.int64)
    found = np.zeros((2, total, geometry.cells), np.uint8)
    waiting = total
    stack: list[tuple[np.ndarray, np.ndarray]] = []
    live, owner = masks[:, :0], np.arange(0)
    while True:
        parts, owners, room = [live], [owner], batch - owner.size
        while room > 0 and (stack or waiting):
            if stack:
                more, more_owner = stack.pop()
            else:
                begin = max(0, waiting - batch)
                more, more_owner = masks[:, begin:waiting], np.arange(begin, waiting)
                waiting = begin
                if progress is not None:
                    progress(more_owner.size)
            if more_owner.size > room:
                stack.append((more[:, room:], more_owner[room:]))
                more, more_owner = more[:, :room], more_owner[:room]
            parts.append(more)
            owners.append(more_owner)
            room -= more_owner.size
        live, owner = np.concatenate(parts, axis=1), np.concatenate(owners)
        if owner.size == 0 or (stop is not None and stop.is_set()):
            return Solutions(count, found[0], found[1], guesses)

        dead = np.zeros(owner.size, bool)
        for _ in range(_PASSES):
            before = live
            live, bad = propagate(live, geometry)
            dead |= bad
        dead |= count[owner] >= limit
        if max_guesses is not None:
            dead |= guesses[owner] > max_guesses
        calm = ~dead & (live == before).all(axis=0)
        done = calm & ((live & (live - np.uint16(1))) == 0).all(axis=0)
        still = calm & ~done
        for index in np.flatnonzero(done):
            board = owner[index]
            if count[board] < limit:
                if count[board] < 2:
                    found[count[board], board] = boards_of(live[:, index : index + 1])[0]
                count[board] += 1
        if still.any():
            stuck, stuck_owner = live[:, still], owner[still]
            np.add.at(guesses, stuck_owner, 1)
            cell = split_cell(stuck, geometry)
            column = np.arange(stuck_owner.size)
            mask = stuck[cell, column]
            digit = mask & (~mask + np.uint16(1))
            without = stuck.copy()
            without[cell, column] = mask & ~digit
            stuck[cell, column] = digit
            stack.append((without, stuck_owner))
            stack.append((stuck, stuck_owner))
        moving = ~(dead | done | still)
        live, owner = live[:, moving], owner[moving]
