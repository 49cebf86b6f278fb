"""data.sampling=reference: the law of the published trainer's batches."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.data.order.groups import GroupTable
from hrm_scale.data.order.order import Layout, Order
from hrm_scale.data.order.reference import ReferenceOrder

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "j_data_pipeline.json"
# The published pipeline's small set: puzzles in each group, examples in each puzzle.
PUZZLES = [1, 3, 2, 1]
EXAMPLES = [1, 4, 2, 3, 1, 5, 2]
BATCH = 4


def bounds(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def make_order(seed: int, batch: int, epochs: int) -> ReferenceOrder:
    table = GroupTable(bounds(EXAMPLES), bounds(PUZZLES), np.array([0, len(PUZZLES)]))
    layout = Layout(np.array([sum(EXAMPLES)]), np.array([0, 1]), table)
    return ReferenceOrder(Order(layout, seed, None), seed, batch, epochs)


def rows_of(order: ReferenceOrder, start: int, stop: int) -> np.ndarray:
    return np.concatenate([piece.rows for piece in order.pieces(start, stop)])


def batches_of(order: ReferenceOrder, iterations: int) -> list[np.ndarray]:
    """The batches of every iteration, int64 [batches, BATCH]."""
    starts = [order.epoch_start(iteration) for iteration in range(iterations + 1)]
    whole = rows_of(order, 0, starts[-1])
    return [whole[a:b].reshape(-1, BATCH) for a, b in itertools.pairwise(starts)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 4), st.integers(0, 60))
def test_batches_hold_whole_puzzles_but_the_last_and_no_example_twice(
    seed: int, batch: int, epochs: int, number: int
) -> None:
    order = make_order(seed, batch, epochs)
    rows = rows_of(order, number * batch, (number + 1) * batch)
    assert len(rows) == batch
    puzzle_of = np.repeat(np.arange(7), EXAMPLES)
    runs = np.flatnonzero(np.append(True, np.diff(puzzle_of[rows]) != 0))
    for first, last in zip(runs, [*runs[1:], batch], strict=True):
        own = rows[first:last]
        puzzle = int(puzzle_of[own[0]])
        # Neighbouring epochs may show the same puzzle twice in a row.
        assert len(own) % EXAMPLES[puzzle] == 0 or last == batch
        assert len(np.unique(own[: EXAMPLES[puzzle]])) == min(len(own), EXAMPLES[puzzle])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.integers(1, 3), st.integers(0, 100), st.integers(1, 30))
def test_any_cut_of_the_stream_gives_the_same_rows(
    seed: int, epochs: int, start: int, length: int
) -> None:
    whole = rows_of(make_order(seed, BATCH, epochs), 0, start + length)
    assert np.array_equal(
        rows_of(make_order(seed, BATCH, epochs), start, start + length), whole[start:]
    )
