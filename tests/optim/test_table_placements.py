"""Every placement of the puzzle table computes the rows of the copy on the device, bit for bit."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hrm_scale.optim.host_table import HostTable
from hrm_scale.optim.open_table import PLACEMENTS, open_table
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable
from hrm_scale.optim.sharded_table import ShardedTable
from hrm_scale.optim.sign_sgd import segment_sums, segment_sums_in_fixed_order
from tests.support.table_walk import ThreadExchange, Walk, on_ranks, run_step, same_bits

CPU = torch.device("cpu")
WALKS = st.builds(
    Walk,
    seed=st.integers(0, 999),
    micros=st.integers(1, 3),
    rows=st.integers(1, 5),
    num=st.sampled_from([1, 2, 7, 40]),
    busy=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    on_halt=st.booleans(),
)
# What may come between two steps of a run.
BETWEEN = st.lists(
    st.sets(st.sampled_from(["lookup", "read", "load", "no offer", "no update"])),
    min_size=6,
    max_size=6,
)


def device_table(walk: Walk) -> DeviceTable:
    table = DeviceTable(walk.num, walk.width, CPU)
    table.load_rows(walk.start())
    return table


def host_table(walk: Walk) -> HostTable:
    table = HostTable(walk.num, walk.width, CPU)
    table.load_rows(walk.start())
    return table


@given(WALKS, BETWEEN)
@settings(max_examples=80)
def test_host_is_device(walk: Walk, between: list[set[str]]) -> None:
    device, host = device_table(walk), host_table(walk)
    ids = torch.arange(walk.num).int()
    for number, (step, events) in enumerate(zip(walk, between, strict=True)):
        if "no update" in events:
            # A step that the guard stopped: gathered, but not carried out.
            host.offer(list(step.offered[0].numpy()))
            for micro, (now, fresh) in enumerate(zip(step.ids[0], step.fresh[0], strict=True)):
                host.gather(micro, now, fresh)
        offer = "no offer" not in events
        assert same_bits(run_step(device, step), run_step(host, step, offer=offer)), number
        if "lookup" in events:
            assert same_bits(device.lookup(ids), host.lookup(ids))
        if "read" in events:
            assert same_bits(device.owned_rows(), host.owned_rows())
        if "load" in events:
            for table in (device, host):
                table.load_rows(walk.start() + number)
    assert same_bits(device.owned_rows(), host.owned_rows())
    assert same_bits(device.lookup(ids), host.lookup(ids))


@given(WALKS, st.integers(0, 5))
@settings(max_examples=30)
def test_a_resumed_host_table_goes_on_with_busy_slots(walk: Walk, stop: int) -> None:
    device, host = device_table(walk), host_table(walk)
    for number, step in enumerate(walk):
        if number == stop:
            saved, host = host.owned_rows().clone(), HostTable(walk.num, walk.width, CPU)
            host.load_rows(saved)
        assert same_bits(run_step(device, step), run_step(host, step))


@pytest.mark.parametrize("saves", [False, True])
def test_host_fetches_rows_once_and_then_only_what_is_offered(
    saves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(steps=8)
    table, fetched = host_table(walk), []
    lookup = HostTable.lookup

    def counted(table: HostTable, ids: Tensor) -> Tensor:
        fetched.append(ids)
        return lookup(table, ids)

    monkeypatch.setattr(HostTable, "lookup", counted)
    for step in walk:
        run_step(table, step)
        if saves:
            table.owned_rows()
    assert len(fetched) == walk.micros


def test_the_host_reads_an_update_only_once_it_has_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a GPU an update is on its way while the host goes on: here it arrives when waited for."""
    walk, waited = Walk(steps=6), []

    class Way:
        def __init__(self, number: int, update: Any, copy: Any) -> None:
            self.number, self.update, self.copy = number, update, copy

        def synchronize(self) -> None:
            waited.append(self.number)
            self.copy.ids.copy_(self.update.ids)
            self.copy.signs.copy_(self.update.signs)

    def sent(table: HostTable, update: Any) -> Any:
        copy = replace(
            update, ids=torch.zeros_like(update.ids), signs=torch.ones_like(update.signs)
        )
        object.__setattr__(copy, "arrived", Way(table._version, update, copy))
        return copy

    monkeypatch.setattr(HostTable, "_receive", sent)
    device, host = device_table(walk), host_table(walk)
    for number, step in enumerate(walk, start=1):
        assert same_bits(run_step(device, step), run_step(host, step))
        # The host goes on while the last two updates are on their way.
        assert waited == list(range(1, number - 1))
    assert same_bits(device.owned_rows(), host.owned_rows())
    assert waited == list(range(1, walk.steps + 1))


class NothingAsked(TorchDispatchMode):
    """Fails at operations whose result or shape the host would have to wait for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = str(func)
        for waits in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero"):
            assert waits not in name, name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_warm_step_asks_the_device_nothing(placement: str) -> None:
    walk = Walk(steps=5)

    def work(exchange: ThreadExchange) -> None:
        table = open_table(placement, walk.num, walk.width, CPU, exchange)
        for number, step in enumerate(walk):
            if number < 3:
                run_step(table, step)
                continue
            table.offer(list(step.offered[0].numpy()))
            with NothingAsked():
                run_step(table, step, offer=False)

    on_ranks(1, work)


def test_rows_that_missed_several_updates_are_fetched_again() -> None:
    walk = Walk(micros=1, rows=2)
    device, host = device_table(walk), host_table(walk)
    for number, step in enumerate(walk):
        if number in (2, 3):  # others use the table meanwhile
            for table in (device, host):
                table.update(step.ids.flatten(), step.grads, step.lr, step.weight_decay)
        else:
            assert same_bits(run_step(device, step), run_step(host, step))


def test_a_slot_that_breaks_the_rules_gets_no_numbers() -> None:
    walk = Walk(micros=1, rows=2)
    table = host_table(walk)
    no, yes = torch.tensor([False] * 2), torch.tensor([True] * 2)
    for fresh, given_ids in ((yes, [1, 2]), (no, [1, 3])):
        table.offer([torch.tensor([1, 2]).numpy()])
        rows = table.gather(0, torch.tensor(given_ids).int(), fresh)
    assert torch.equal(rows[0], walk.start()[1])
    assert rows[1].isnan().all()


@given(WALKS, st.integers(1, 4))
@settings(max_examples=30)
def test_sharded_is_device(walk: Walk, ranks: int) -> None:
    walk = replace(walk, ranks=ranks)
    everyone = torch.arange(walk.num).int()

    def work(exchange: ThreadExchange) -> tuple[list[Tensor], Tensor, Tensor]:
        table = ShardedTable(walk.num, walk.width, CPU, exchange)
        lo, hi = table.owned
        table.load_rows(walk.start()[lo:hi])
        got = [run_step(table, step, exchange.rank) for step in walk]
        return got, table.owned_rows(), table.lookup(everyone.roll(exchange.rank))

    results = on_ranks(ranks, work)
    for rank, (got, _, found) in enumerate(results):
        device = device_table(walk)
        for step, rows in zip(walk, got, strict=True):
            assert same_bits(run_step(device, step, rank), rows)
        assert same_bits(device.lookup(everyone.roll(rank)), found)
    assert same_bits(torch.cat([owned for _, owned, _ in results]), device.owned_rows())


@given(st.integers(1, 40), st.integers(1, 9))
def test_ranks_own_all_rows_once_and_keep_no_more(num: int, ranks: int) -> None:
    barrier = threading.Barrier(ranks)
    tables = [
        ShardedTable(num, 3, CPU, ThreadExchange(rank, [None] * ranks, barrier))
        for rank in range(ranks)
    ]
    ranges = [range(*table.owned) for table in tables]
    assert [row for owned in ranges for row in owned] == list(range(num))
    for table, owned in zip(tables, ranges, strict=True):
        assert len(owned) <= -(-num // ranks)
        assert table.owned_rows().shape == (len(owned), 3)
        # What it allocates, the spare row included.
        kept = [value for value in vars(table).values() if isinstance(value, Tensor)]
        assert sum(value.numel() for value in kept) == (len(owned) + 1) * 3


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=33),
    st.integers(0, 99),
)
def test_sums_in_fixed_order_are_the_sums(counts: list[int], seed: int) -> None:
    sizes = torch.tensor(counts) + 1
    segment = torch.arange(len(counts)).repeat_interleave(sizes)
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-8, 9, (len(segment), 3), generator=generator) / 8
    assert torch.equal(segment_sums_in_fixed_order(segment, values), segment_sums(segment, values))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_table_starts_at_zero_in_fp32_and_refuses_rows_that_do_not_fit(placement: str) -> None:
    def work(exchange: ThreadExchange) -> PuzzleTable:
        return open_table(placement, 5, 3, CPU, exchange)

    (table,) = on_ranks(1, work)
    assert (table.num_identifiers, table.width, table.owned) == (5, 3, (0, 5))
    assert table.owned_rows().dtype == torch.float32
    assert not table.owned_rows().any()
    for shape in ((4, 3), (5, 2), (5,), (1, 3)):
        with pytest.raises(ValueError, match=r"table of \[5, 3\]"):
            table.load_rows(torch.ones(shape))
    assert not table.owned_rows().any()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rows_handed_out_share_no_memory_with_the_table(placement: str) -> None:
    walk = Walk(micros=1)

    def work(exchange: ThreadExchange) -> PuzzleTable:
        table = open_table(placement, walk.num, walk.width, CPU, exchange)
        table.load_rows(walk.start())
        return table

    (table,) = on_ranks(1, work)
    device = device_table(walk)
    for step in walk:
        expected = run_step(device, step)
        table.offer(list(step.offered[0].numpy()))
        leaf = table.gather(0, step.ids[0, 0], step.fresh[0, 0])
        assert leaf.is_leaf
        assert leaf.requires_grad
        leaf.square().sum().backward()
        assert leaf.grad is not None
        assert same_bits(leaf, expected[0])
        with torch.no_grad():
            leaf.zero_()
        table.update(step.ids.flatten(), step.grads, step.lr, step.weight_decay)
    assert same_bits(table.owned_rows(), device.owned_rows())


def test_an_unknown_placement_is_refused() -> None:
    with pytest.raises(ValueError, match="device, host, sharded"):
        on_ranks(1, lambda exchange: open_table("disk", 1, 1, CPU, exchange))
