"""Make mazes with long shortest paths: the recipe that has the statistics of the published set.

A layout gets a number of walls drawn uniformly from WALLS and scattered uniformly. Up to TRIALS
pairs of free cells are drawn; the first whose shortest path has at least `min_path` moves becomes
S and G, and a layout without one is thrown away, as nearly all are. Nothing is searched pair by
pair: a few searches sort out layouts without a path that long, and for the others all pairs are
counted, which also says which of the drawn pairs are good.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import count as counted
from multiprocessing import get_context

import numpy as np

from hrm_scale.base.counter import below, draws, make_key
from hrm_scale.base.errors import ConfigError
from hrm_scale.puzzles.maze.layout import layout_keys
from hrm_scale.puzzles.maze.paths import FREE, GOAL, START, WALL
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.maze.rules import rule_labels
from hrm_scale.puzzles.maze.wave import far_cells, one_of, pack, peel, single, sizes, sweep, unpack

from ..builder.boards import Boards, Distinct

WALLS = (250, 450)
"""Fewest and most walls of a board of 900 cells; other boards have the same shares."""
TRIALS = 100
PUBLISHED_SIDE, PUBLISHED_MIN_PATH = 30, 109
# Streams of the counter generator; those below 100 belong to hrm_scale.data.
_LAYOUT, _PAIRS = 121, 122
# Layouts worked on at a time, which changes nothing but the time it takes.
_ROUND, _ROUND_OF_SMALL, _SMALL = 4096, 512, 16
FRUITLESS = 300_000
_PEELED = 8
_CLOSE = 8
_SAMPLED = 24


def default_min_path(side: int) -> int:
    return PUBLISHED_MIN_PATH if side == PUBLISHED_SIDE else 2 * side


def wall_bounds(side: int) -> tuple[int, int]:
    """Fewest and most walls of a board."""
    low, high = (round(walls * side * side / PUBLISHED_SIDE**2) for walls in WALLS)
    return low, high


def generate(
    count: int,
    side: int,
    *,
    seed: int,
    min_path: int,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Boards:
    """`count` mazes with labels by the label rule, no two of one layout up to symmetry.

    The same for any number of processes `jobs`. Raises ConfigError when so many are not to be had.
    """
    # Cells of a shortest path touch no others of it: it fills at most about two cells of three.
    longest = min(side * side - wall_bounds(side)[0], side * side * 2 // 3 + side) - 1
    if min_path > longest:
        raise ConfigError(
            f"--min-path {min_path}: no shortest path on a board of {side}x{side} has that many "
            f"moves: choose at most {longest} (practical are about {default_min_path(side)})"
        )
    size = _ROUND_OF_SMALL if side <= _SMALL else _ROUND
    puzzle = Maze.of_size(side)
    kept = Distinct(count, progress)
    tried, fruitless = 0, 0
    for questions in _rounds(partial(_one_round, side, seed, min_path, size), jobs):
        tried += size
        before = kept.found
        kept.add(
            Boards(puzzle, questions, questions), np.array(layout_keys(questions, side), "S32")
        )
        fruitless = 0 if kept.found > before else fruitless + size
        if not kept.missing:
            break
        if fruitless >= FRUITLESS:
            raise ConfigError(
                f"{count} mazes of {side}x{side} with --min-path {min_path} were asked for (--count"
                f" plus --test-size), only {kept.found} were found among {tried} layouts: ask for "
                "fewer, a lower --min-path or a larger --size"
            )
    inputs = kept.boards().inputs
    labels, moves = rule_labels(inputs, side)
    return Boards(puzzle, inputs, labels, ratings=moves)


def _rounds(one_round: Callable[[int], np.ndarray], jobs: int) -> Iterator[np.ndarray]:
    """The results of round 0, 1, 2 ... without end, made by `jobs` processes."""
    if jobs == 1:
        yield from map(one_round, counted())
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[np.ndarray]] = deque()
        try:
            for number in counted():
                waiting.append(pool.submit(one_round, number))
                if len(waiting) >= 2 * jobs:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _one_round(side: int, seed: int, min_path: int, size: int, number: int) -> np.ndarray:
    """The mazes uint8 [k, cells], with S and G, kept of `size` layouts."""
    first = number * size
    walls = layouts(side, seed, first, size)
    free = pack(~walls, side)
    questions = []
    for index in np.flatnonzero(may_be_long(free, min_path)):
        pair = first_good_pair(
            free[:, [index]], min_path, pair_draws(side, seed, first + int(index))
        )
        if pair is not None:
            question = np.where(walls[index], WALL, FREE).astype(np.uint8)
            question[list(pair)] = START, GOAL
            questions.append(question)
    return np.stack(questions) if questions else np.zeros((0, side * side), np.uint8)


def layouts(side: int, seed: int, first: int, count: int) -> np.ndarray:
    """Walls of the layouts first ... first + count - 1 of a seed, bool [count, cells]."""
    cells = side * side
    each = 1 + (cells + 1) // 2
    values = draws(make_key(_LAYOUT, seed, side), first * each, count * each).reshape(count, each)
    low, high = wall_bounds(side)
    number = low + below(values[:, 0], high - low + 1)
    # Half a draw for each cell, whose low bits are the cell's number, so that no two are equal;
    # the cells with the smallest become walls.
    halves = np.ascontiguousarray(values[:, 1:]).astype("<u8", copy=False).view("<u4")[:, :cells]
    order = halves & ~np.uint32((1 << cells.bit_length()) - 1) | np.arange(cells, dtype=np.uint32)
    limit = np.sort(order, axis=1)[np.arange(count), number]
    return order < limit[:, None]


def may_be_long(free: np.ndarray, min_path: int) -> np.ndarray:
    """bool [n]: was a shortest path of `min_path` moves found in the board?

    In each component that is large enough: a search from a cell in the middle, then one from the
    cell farthest from it, then, if that came close, one from the cell farthest from that one. On
    such boards this finds a longest path nearly always; what it misses has few pairs so far apart.
    """
    found = np.zeros(free.shape[1], bool)
    rounds = min(_PEELED, min_path // 4)
    # Without dead ends most small components are gone, and a long path is still long.
    owner, core = np.arange(free.shape[1]), peel(free, rounds)
    middle = len(free) // 2
    while True:
        stay = (sizes(core) > min_path - 2 * rounds) & ~found[owner]
        owner, core, free = owner[stay], core[:, stay], free[:, stay]
        if not owner.size:
            return found
        start = np.roll(one_of(np.roll(core, -middle, axis=0)), middle, axis=0)
        distance, last, reached = sweep(free, start)
        core &= ~reached
        found[owner[distance >= min_path]] = True
        member = np.arange(owner.size)
        # No two cells are farther apart than twice the distance of the farthest from one.
        for least in ((min_path + 1) // 2, min_path - _CLOSE):
            hopeful = (distance < min_path) & (distance >= least)
            member = member[hopeful]
            distance, last, _ = sweep(free[:, member], one_of(last[:, hopeful]))
            found[owner[member[distance >= min_path]]] = True


def pair_draws(side: int, seed: int, layout: int) -> np.ndarray:
    return draws(make_key(_PAIRS, seed, side), layout * TRIALS, TRIALS)


def first_good_pair(free: np.ndarray, min_path: int, values: np.ndarray) -> tuple[int, int] | None:
    """S and G of a layout (a board set of one): the first drawn pair that is far enough apart.

    All ordered pairs of free cells are numbered, those far enough apart first.
    """
    side = len(free)
    cells = np.flatnonzero(unpack(free)[0])
    pairs = below(values, len(cells) * (len(cells) - 1))
    sources = cells
    if len(cells) > 8 * _SAMPLED:  # otherwise sorting some out costs more than they do
        sources = np.flatnonzero(unpack(_outer_cells(free, cells, min_path))[0])
    starts = single(*np.divmod(sources, side), free)
    far = far_cells(np.repeat(free, len(sources), axis=1), starts, min_path)
    ends = np.cumsum(sizes(far))
    good = np.flatnonzero(pairs < (ends[-1] if len(ends) else 0))
    if not good.size:
        return None
    pair = int(pairs[good[0]])
    start = int(np.searchsorted(ends, pair, side="right"))
    place = pair - (int(ends[start - 1]) if start else 0)
    goals = np.flatnonzero(unpack(far[:, [start]])[0])
    return int(sources[start]), int(goals[place])


def _outer_cells(free: np.ndarray, cells: np.ndarray, min_path: int) -> np.ndarray:
    """All cells that may be `min_path` from another, and some that are not: a board set of one.

    A cell at distance d from a cell that has all others within e has them within d + e.
    """
    some = cells[:: -(-len(cells) // _SAMPLED)]
    starts = single(*np.divmod(some, len(free)), free)
    distance, _, reached = sweep(np.repeat(free, len(some), axis=1), starts)
    best = [int(np.where(sizes(reached) > min_path, distance, free.size**2).argmin())]
    inner = free & reached[:, best]
    least = min_path - int(distance[best[0]])
    if least < 1:
        return free
    return free & ~inner | far_cells(inner, starts[:, best], least)
