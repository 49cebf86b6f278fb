"""Generated mazes: the recipe against trying everything, the seed, and requests without end."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError
from hrm_scale.puzzles.maze.layout import layout_keys
from hrm_scale.puzzles.maze.paths import WALL, shortest_moves
from hrm_scale.puzzles.maze.rules import bad_rows, follows_rule
from hrm_scale.puzzles.maze.wave import far_cells, pack, single, sizes, unpack
from shards.maze import generate as maze_generate
from shards.maze.generate import (
    default_min_path,
    first_good_pair,
    generate,
    layouts,
    may_be_long,
    pair_draws,
    wall_bounds,
)


def test_mazes_are_sound_long_and_different() -> None:
    mazes = generate(60, 10, seed=0, min_path=20)
    assert not bad_rows(mazes.inputs, mazes.labels, 10).any()
    assert follows_rule(mazes.inputs, mazes.labels, 10).all()
    assert mazes.ratings.min() >= 20
    assert (shortest_moves(mazes.inputs, 10) == mazes.ratings).all()
    assert len(set(layout_keys(mazes.inputs, 10))) == 60
    low, high = wall_bounds(10)
    walls = (mazes.inputs == WALL).sum(axis=1)
    assert (low, high) == (28, 50)
    assert walls.min() >= low
    assert walls.max() <= high


def test_the_seed_alone_decides() -> None:
    first, again, other = (generate(20, 8, seed=seed, min_path=14) for seed in (1, 1, 2))
    assert (first.inputs == again.inputs).all()
    assert not (first.inputs == other.inputs).all()
    # Asking for more leaves the first ones as they are.
    assert (generate(30, 8, seed=1, min_path=14).inputs[:20] == first.inputs).all()


@pytest.mark.slow
def test_processes_change_nothing() -> None:
    one, two = (generate(40, 10, seed=3, min_path=24, jobs=jobs) for jobs in (1, 2))
    assert (one.inputs == two.inputs).all()
    assert (one.labels == two.labels).all()


def test_wall_numbers_and_places_are_uniform() -> None:
    walls = layouts(8, 0, 0, 20_000)
    low, high = wall_bounds(8)
    counts = np.bincount(walls.sum(axis=1) - low, minlength=high - low + 1)
    assert len(counts) == high - low + 1
    expected = 20_000 / len(counts)
    # Chi-square at about five standard deviations above its mean, n - 1.
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5
    cells = walls.sum(axis=0)
    expected = cells.mean()
    share = expected / 20_000
    assert ((cells - expected) ** 2 / (expected * (1 - share))).sum() < 64 + 5 * 128**0.5


@pytest.mark.parametrize(("side", "min_path", "count"), [(7, 12, 400), (20, 48, 150)])
def test_the_short_cuts_find_what_trying_all_pairs_finds(
    side: int, min_path: int, count: int
) -> None:
    """Which layouts are hopeful, and which pair of those drawn is the first good one."""
    free = pack(~layouts(side, 5, 0, count), side)
    hopeful = may_be_long(free, min_path)
    kept, missed = 0, 0
    for index in range(count):
        board = free[:, [index]]
        cells = np.flatnonzero(unpack(board)[0])
        starts = single(*np.divmod(cells, side), board)
        far = unpack(far_cells(np.repeat(board, len(cells), axis=1), starts, min_path))
        good = int(far.sum())
        assert good or not hopeful[index]
        missed += bool(good and not hopeful[index])
        draws = pair_draws(side, 5, index)
        pair = first_good_pair(board, min_path, draws)
        limit = len(cells) * (len(cells) - 1)
        tried = [(int(draw) >> 32) * limit >> 32 for draw in draws.tolist()]
        first = next((number for number in tried if number < good), None)
        assert (pair is None) == (first is None)
        if pair is not None and first is not None:
            kept += 1
            # The good pairs in order of their start, then of their goal.
            row, goal = (int(place[first]) for place in np.nonzero(far))
            assert pair == (cells[row], goal)
    assert kept > 3
    assert missed <= 0.03 * hopeful.sum()
    assert sizes(free).min() > 0


@pytest.mark.parametrize(("side", "min_path"), [(30, 1000), (10, 75), (4, 20)])
def test_a_path_that_fits_on_no_board_is_refused_at_once(side: int, min_path: int) -> None:
    with pytest.raises(ConfigError, match=f"--min-path {min_path}: no shortest path") as caught:
        generate(1, side, seed=0, min_path=min_path)
    assert "\n" not in str(caught.value)


def test_more_mazes_than_are_found_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maze_generate, "FRUITLESS", 10_000)
    with pytest.raises(ConfigError, match=r"only 0 were found among \d+ layouts") as caught:
        generate(1, 5, seed=0, min_path=17)
    assert "\n" not in str(caught.value)


def test_default_lengths() -> None:
    assert default_min_path(30) == 109
    assert default_min_path(10) == 20
