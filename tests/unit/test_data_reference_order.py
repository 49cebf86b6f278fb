"""data.sampling=reference: the law of the published trainer's batches."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.data.groups import GroupTable
from hrm_scale.data.order import Layout, Order
from hrm_scale.data.reference_order import ReferenceOrder

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


@pytest.fixture(scope="module")
def golden() -> dict[str, dict[str, int]]:
    if not GOLDEN.is_file():
        pytest.skip(f"no {GOLDEN}: the published pipeline's frequencies are not here")
    return json.loads(GOLDEN.read_text())["results"]


def agree(measured: np.ndarray, published: dict[str, int], first: int = 0) -> None:
    """Counts of equally many trials differ by chance alone: five standard deviations of it."""
    theirs = np.array([published.get(str(first + i), 0) for i in range(len(measured))])
    assert np.abs(measured - theirs).max() > 0, "no run is another run's copy"
    assert (np.abs(measured - theirs) <= 5 * np.sqrt(measured + theirs + 1)).all()


def test_frequencies_are_those_measured_of_the_published_pipeline(
    golden: dict[str, dict[str, int]],
) -> None:
    published = golden["train_measured_over_4000_epochs_gbs4_epochs_per_iter1"]
    epochs = batches_of(make_order(seed=3, batch=BATCH, epochs=1), 4000)
    agree(np.bincount([len(e) for e in epochs])[1:], published["batches_per_epoch"], 1)  # type: ignore[arg-type]
    seen = np.concatenate([e.ravel() for e in epochs])
    agree(np.bincount(seen, minlength=18), published["example_counts"])  # type: ignore[arg-type]
    puzzle_of = np.repeat(np.arange(7), EXAMPLES)
    visits = np.zeros(7, np.int64)
    groups = np.zeros(5, np.int64)
    for epoch in epochs:
        visited = np.unique(puzzle_of[epoch])
        visits[visited] += 1
        groups[len(np.unique(np.repeat(np.arange(4), PUZZLES)[visited]))] += 1
    agree(visits, published["puzzle_visits"])  # type: ignore[arg-type]
    agree(groups[2:], published["distinct_groups_seen_per_epoch"], 2)  # type: ignore[arg-type]


def test_iterations_of_several_epochs_lose_only_their_last_batch(
    golden: dict[str, dict[str, int]],
) -> None:
    order = make_order(seed=5, batch=BATCH, epochs=3)
    starts = np.array([order.epoch_start(3 * iteration) for iteration in range(301)])
    counts = np.bincount(np.diff(starts) // BATCH, minlength=8)[3:8]
    agree(counts, golden["train_batches_per_iter_epochs_per_iter3"], 3)


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
