"""Which example goes to which slot: fresh ones for all, or exactly the free slots in order."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import row_numbers, write_grouped, write_online
from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.data import Batch, Dataset, Loader, open_dataset
from hrm_scale.engine import PlainEngine
from hrm_scale.models import Carry
from hrm_scale.training.feed import AlwaysFeed, Feed, OnHaltFeed, open_feed

GLOBAL = 24


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_online(tmp_path_factory.mktemp("feed") / "data", examples=50))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("feed") / "numbered"
    return open_dataset(write_grouped(path, [[1]] * 300))


class OneOfSeveral:
    """Stands for the engine of rank `rank` of `ranks`; knows what all ranks would send."""

    device = torch.device("cpu")

    def __init__(self, rank: int, ranks: int) -> None:
        self.rank, self.ranks = rank, ranks
        self.others: list[torch.Tensor] = []

    def gather_rows(self, rows: torch.Tensor) -> torch.Tensor:
        whole = self.others.pop(0)
        size = len(whole) // self.ranks
        assert torch.equal(whole[self.rank * size : (self.rank + 1) * size], rows)
        return whole


def carries_of(masks: np.ndarray) -> list[Carry]:
    """One carry a micro-step; masks [accumulation, rows] say which slots are free."""
    return [
        Carry((), torch.zeros(len(mask)), torch.from_numpy(np.array(mask)), {}) for mask in masks
    ]


def inputs_of(batches: Sequence[dict[str, torch.Tensor]]) -> np.ndarray:
    return torch.cat([batch["inputs"] for batch in batches]).numpy()


@settings(max_examples=25)
@given(
    st.sampled_from([(1, 1), (1, 4), (2, 3), (4, 1), (3, 2)]),
    st.integers(0, 999),
    st.integers(0, 40),
)
def test_on_halt_serves_free_slots_in_order_and_every_sample_once(
    numbered: Dataset, shape: tuple[int, int], seed: int, start: int
) -> None:
    ranks, accumulation = shape
    slots = BatchShape(GLOBAL, accumulation, ranks)
    rows = slots.rows
    loader = Loader(numbered, "train", seed=1, global_batch_size=GLOBAL)
    engines = [OneOfSeveral(rank, ranks) for rank in range(ranks)]
    feeds = [OnHaltFeed(loader, engine, start, slots) for engine in engines]  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    position = start
    for step in range(4):
        # free[micro, rank, row]: slot order is micro-step, then rank, then row.
        free = rng.random((accumulation, ranks, rows)) < rng.choice([0.0, 0.3, 1.0])
        if step == 0:
            free[:] = True
        taken = np.zeros((accumulation, ranks, rows), dtype=np.int64)
        for rank, feed in enumerate(feeds):
            if step:
                engines[rank].others = [torch.from_numpy(mask.flatten()) for mask in free]
            batches = feed.next(carries_of(free[:, rank]) if step else None)
            found = inputs_of(batches).reshape(accumulation, rows, -1)
            assert not found[~free[:, rank]].any()
            taken[:, rank] = row_numbers(found.reshape(-1, found.shape[-1])).reshape(
                accumulation, rows
            )
        count = int(free.sum())
        expected = row_numbers(loader.fetch(position, position + count).inputs)
        assert taken[free].tolist() == expected.tolist()
        position += count
        assert {feed.position for feed in feeds} == {position}


def test_on_halt_takes_nothing_when_no_slot_is_free(dataset: Dataset) -> None:
    loader = Loader(dataset, "train", seed=0, global_batch_size=8)
    feed = OnHaltFeed(loader, PlainEngine("cpu"), 16, BatchShape(8, 2))
    batches = feed.next(carries_of(np.zeros((2, 4), dtype=bool)))
    assert feed.position == 16
    assert [batch["inputs"].shape for batch in batches] == [(4, 16)] * 2
    assert not inputs_of(batches).any()


@pytest.mark.parametrize("accumulation", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 40])
def test_always_feeds_every_slot_anew(dataset: Dataset, accumulation: int, start: int) -> None:
    loader = Loader(dataset, "train", seed=0, global_batch_size=8, accumulation=accumulation)
    feed = AlwaysFeed(loader, PlainEngine("cpu"), start, BatchShape(8))
    try:
        for step in range(10):
            batches = feed.next(None)
            assert len(batches) == accumulation
            assert feed.position == start + 8 * (step + 1)
            expected = loader.fetch(feed.position - 8, feed.position)
            for name, value in expected._asdict().items():
                ours = torch.cat([batch[name] for batch in batches])
                assert ours.dtype == torch.int32
                np.testing.assert_array_equal(ours.numpy(), value)
    finally:
        feed.close()


@pytest.mark.parametrize("refill", ["always", "on_halt"])
def test_identifiers_are_offered_by_micro_step(refill: str) -> None:
    def samples(start: int, stop: int) -> Batch:
        return Batch(*[np.arange(start, stop, dtype=np.int32)] * 3)

    parts = [samples(start, start + 2) for start in range(0, 8, 2)]
    loader: Any = SimpleNamespace(batches=lambda _: iter([parts]), fetch=samples)
    offered: list[list[int]] = []
    feed = open_feed(
        refill,
        loader,
        PlainEngine("cpu"),
        0,
        BatchShape(8, 4),
        offer=lambda ids: offered.extend(column.tolist() for column in ids),
    )
    batches = feed.next(None)
    assert offered == [batch["puzzle_identifiers"].tolist() for batch in batches]
    assert offered == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(("refill", "kind"), [("always", AlwaysFeed), ("on_halt", OnHaltFeed)])
def test_the_setting_chooses_the_feed(dataset: Dataset, refill: str, kind: type[Feed]) -> None:
    loader = Loader(dataset, "train", seed=0, global_batch_size=8)
    feed = open_feed(refill, loader, PlainEngine("cpu"), 0, BatchShape(8))
    assert type(feed) is kind
    # A fresh run starts alike under both.
    expected = loader.fetch(0, 8).inputs
    np.testing.assert_array_equal(inputs_of(feed.next(None)), expected)
    feed.close()
