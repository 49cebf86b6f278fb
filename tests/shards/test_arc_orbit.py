"""Variants of ARC tasks: as many, and exactly those, that trying everything finds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.puzzles.arc.grid import IDENTITY, augment, dihedral
from shards.arc.orbit import colourings, compose, orbit_of
from shards.arc.task import Pair, Task, pair_key
from shards.arc.variants import choose_variants
from tests.support.arc_sets import of_task


def content(pairs: list[Pair], variant: np.ndarray) -> tuple[bytes, ...]:
    """What the task is under a variant: its pairs in no order."""
    return tuple(
        sorted(
            pair_key((augment(question, variant), augment(answer, variant)))
            for question, answer in pairs
        )
    )


def brute_force(pairs: list[Pair]) -> set[tuple[bytes, ...]]:
    """All contents: every turn, every injection of the colours that occur."""
    used = sorted({int(c) for pair in pairs for grid in pair for c in grid.ravel()} - {0})
    found = set()
    for targets in itertools.permutations(range(1, 10), len(used)):
        variant = IDENTITY.copy()
        rest = iter(sorted(set(range(1, 10)) - set(targets)))
        mapping = dict(zip(used, targets, strict=True))
        for colour in range(1, 10):
            variant[1 + colour] = mapping[colour] if colour in mapping else next(rest)
        for turn in range(8):
            variant[0] = turn
            found.add(content(pairs, variant))
    return found


@st.composite
def tasks(draw: st.DrawFn) -> list[Pair]:
    """Small pairs, often symmetric or repeated, so that stabilisers are not trivial."""
    colours = draw(st.lists(st.integers(1, 9), min_size=0, max_size=2, unique=True))
    side = st.integers(1, 2)
    pairs: list[Pair] = []
    for _ in range(draw(st.integers(1, 3))):
        grids = []
        for _ in range(2):
            height, width = draw(side), draw(side)
            cell = st.sampled_from([0, *colours])
            cells = draw(st.lists(cell, min_size=height * width, max_size=height * width))
            grids.append(np.array(cells, np.uint8).reshape(height, width))
        pairs.append((grids[0], grids[1]))
    for _ in range(draw(st.integers(0, 2))):
        # A copy of a pair under something: its variant may now be one of the task's own pairs.
        question, answer = pairs[draw(st.integers(0, len(pairs) - 1))]
        variant = IDENTITY.copy()
        variant[0] = draw(st.integers(0, 7))
        if len(colours) > 1 and draw(st.booleans()):
            a, b = colours[:2]
            variant[1 + a], variant[1 + b] = b, a
        pairs.append((augment(question, variant), augment(answer, variant)))
    return pairs


@settings(deadline=None, max_examples=60)
@given(tasks())
def test_the_numbered_variants_are_all_there_are_each_once(pairs: list[Pair]) -> None:
    orbit = orbit_of(pairs)
    table = orbit.variants(np.arange(len(orbit)))
    contents = [content(pairs, variant) for variant in table]
    assert len(set(contents)) == len(contents)
    assert set(contents) == brute_force(pairs)
    assert np.array_equal(table[orbit.identity], IDENTITY)
    assert (np.sort(table[:, 1:], axis=1) == np.arange(10)).all()
    assert (table[:, 1] == 0).all()


@settings(deadline=None, max_examples=30)
@given(tasks(), st.integers(0, 7), st.permutations(range(1, 10)))
def test_variants_of_a_variant_are_the_same_set(
    pairs: list[Pair], turn: int, colours: list[int]
) -> None:
    variant = np.array([turn, 0, *colours], np.uint8)
    moved = [(augment(a, variant), augment(b, variant)) for a, b in pairs]
    assert len(orbit_of(moved)) == len(orbit_of(pairs))


def test_colours_that_are_all_alike() -> None:
    for alike in range(10):
        pairs = [(np.full((1, 1), colour, np.uint8),) * 2 for colour in range(alike + 1)]
        # Only which of the nine colours there are matters.
        assert len(orbit_of(pairs)) == math.comb(9, alike)


def test_a_task_without_colours_has_only_its_turns() -> None:
    corner = np.zeros((2, 3), np.uint8)
    assert len(orbit_of([(corner, corner)])) == 2
    assert len(orbit_of([(np.zeros((1, 1), np.uint8),) * 2])) == 1


def test_composition_is_that_of_the_grids() -> None:
    probe = np.arange(12).reshape(3, 4)
    for second, first in itertools.product(range(8), repeat=2):
        both = dihedral(dihedral(probe, first), second)
        assert np.array_equal(both, dihedral(probe, compose(second, first)))


@pytest.mark.parametrize("used", range(10))
def test_colourings_are_all_and_in_order(used: int) -> None:
    table = colourings(used)
    assert table.shape == (math.perm(9, used), 9)
    some = table[:: max(1, len(table) // 500)].tolist()
    assert some == sorted(some)
    if used <= 3:
        heads = [tuple(row[:used]) for row in table.tolist()]
        assert heads == list(itertools.permutations(range(1, 10), used))
        assert all(row[used:] == sorted(row[used:]) for row in table.tolist())


def task_of(pairs: list[Pair], name: str = "t") -> Task:
    return Task(name, "training", tuple(pairs), (), False)


@settings(deadline=None, max_examples=30)
@given(tasks(), st.integers(0, 60), st.integers(0, 1000))
def test_choices_are_distinct_begin_with_the_original_and_only_grow(
    pairs: list[Pair], count: int, seed: int
) -> None:
    task = task_of(pairs)
    chosen = choose_variants([task], count, seed)
    table = of_task(chosen, 0)
    assert np.array_equal(chosen.table[0], IDENTITY)
    assert np.array_equal(table[0], IDENTITY)
    assert len(table) == min(count + 1, len(orbit_of(pairs))) == chosen.counts[0]
    assert len({content(pairs, variant) for variant in table}) == len(table)
    more = of_task(choose_variants([task], count + 7, seed), 0)
    assert np.array_equal(more[: len(table)], table)


def test_choices_do_not_depend_on_the_other_tasks() -> None:
    one = task_of([(np.array([[1, 2], [3, 4]], np.uint8),) * 2], "one")
    other = task_of([(np.array([[5, 0, 1]], np.uint8),) * 2], "other")
    both = choose_variants([one, other], 20, 1)
    assert np.array_equal(of_task(both, 1), of_task(choose_variants([other], 20, 1), 0))
    assert not np.array_equal(of_task(both, 1), of_task(choose_variants([other], 20, 2), 0))


def test_choices_are_uniform() -> None:
    """Of 72 variants, the 71 others are equally often among 20 chosen (chi-square, 70 d.f.)."""
    pairs = [(np.array([[7, 0], [0, 0]], np.uint8), np.array([[7, 7, 0]], np.uint8))]
    orbit = orbit_of(pairs)
    assert len(orbit) == 72
    weights = 10 ** np.arange(11)
    keys = orbit.variants(np.arange(72)) @ weights
    counts = np.zeros(72)
    for number in range(400):
        table = of_task(choose_variants([task_of(pairs, f"task {number}")], 20, 3), 0)
        counts += np.isin(keys, table @ weights)
    assert counts[orbit.identity] == 400
    others = np.delete(counts, orbit.identity)
    expected = 400 * 20 / 71
    # Without replacement the counts vary by a factor (1 - 20 / 71) less.
    statistic = ((others - expected) ** 2 / expected).sum() / (1 - 20 / 71)
    assert 33 < statistic < 122  # one in 100,000 either side
