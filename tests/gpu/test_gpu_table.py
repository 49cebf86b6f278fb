"""The puzzle table on a CUDA device: placements agree, nothing waits, chance decides nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hrm_scale.optim.host_table import HostTable
from hrm_scale.optim.open_table import open_table
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable
from hrm_scale.optim.sign_sgd import summed_signs
from tests.support.table_walk import Step, ThreadExchange, Walk, on_ranks, run_step, same_bits

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
# Few rows for many slots, so that updates and gathers meet in the same rows at every step.
WALK = Walk(steps=30, micros=3, rows=64, num=150, width=128)


def table_at(placement: str, walk: Walk) -> PuzzleTable:
    def work(exchange: ThreadExchange) -> PuzzleTable:
        return open_table(placement, walk.num, walk.width, CUDA, exchange)

    (table,) = on_ranks(1, work)
    table.load_rows(walk.start())
    return table


def put(step: Step) -> Step:
    """The step with everything but the offered identifiers on the device."""
    moved = {name: getattr(step, name).to(CUDA) for name in ("fresh", "ids", "grads")}
    return replace(step, **moved)


@pytest.mark.parametrize("placement", ["host", "sharded"])
@pytest.mark.parametrize("on_halt", [False, True])
def test_thirty_steps_are_those_of_the_table_on_the_device(placement: str, on_halt: bool) -> None:
    walk = replace(WALK, on_halt=on_halt)
    device, other = table_at("device", walk), table_at(placement, walk)
    ids = torch.arange(walk.num, dtype=torch.int32, device=CUDA)
    expected, got = [], []
    for number, step in enumerate(map(put, walk)):
        # No comparison in between: it would wait for the device, and hide a race.
        expected.append(run_step(device, step))
        got.append(run_step(other, step))
        if number % 10 == 5:
            expected.append(device.lookup(ids))
            got.append(other.lookup(ids))
        if number % 10 == 8:
            expected.append(device.owned_rows().cpu())
            got.append(other.owned_rows().cpu().clone())
    for one, two in zip(expected, got, strict=True):
        assert same_bits(one, two)
    assert same_bits(device.owned_rows(), other.owned_rows())


def test_a_late_update_is_waited_for() -> None:
    walk = replace(WALK, steps=6)
    device, host = table_at("device", walk), table_at("host", walk)
    for step in map(put, walk):
        expected = run_step(device, step)
        # The device has work for long after the host has asked for everything.
        torch.cuda._sleep(50_000_000)
        got = run_step(host, step)
        assert same_bits(expected, got)
    torch.cuda._sleep(50_000_000)
    assert same_bits(device.owned_rows(), host.owned_rows())


@pytest.mark.parametrize("placement", ["device", "host", "sharded"])
def test_a_warm_step_never_waits_for_the_gpu(placement: str) -> None:
    table, steps = table_at(placement, WALK), [put(step) for step in WALK]
    for step in steps[:5]:
        run_step(table, step)
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in steps[5:10]:
            run_step(table, step)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    torch.cuda.synchronize()


def test_the_host_does_not_wait_for_the_last_update() -> None:
    table, steps = table_at("host", WALK), [put(step) for step in WALK]
    assert isinstance(table, HostTable)
    for step in steps[:5]:
        run_step(table, step)
    torch.cuda.synchronize()
    torch.cuda._sleep(400_000_000)
    run_step(table, steps[5])
    last = table._sent[-1].arrived
    assert last is not None
    assert not last.query(), "the host waited for the update of this very step"
    torch.cuda.synchronize()


def test_what_travels_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    table, steps = table_at("host", WALK), [put(step) for step in WALK]
    assert isinstance(table, HostTable)
    outs: list[Tensor] = []
    select = torch.index_select

    def seen(*args: Any, out: Tensor) -> Tensor:
        outs.append(out)
        return select(*args, out=out)

    monkeypatch.setattr(torch, "index_select", seen)
    for step in steps[:3]:
        run_step(table, step)
    assert outs
    assert all(out.is_pinned() for out in outs)
    assert all(update.ids.is_pinned() and update.signs.is_pinned() for update in table._sent)
    assert not table._table.is_cuda


def test_sums_do_not_depend_on_which_thread_comes_first() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, (4096,), generator=generator).to(CUDA)
    grads = torch.randn(4096, 256, generator=generator).to(CUDA)
    # Sums that are zero but for rounding: their sign is that of the order of additions.
    grads[2048:] = -grads[:2048]
    ids[2048:] = ids[:2048]
    first = summed_signs(ids, grads)[1]
    assert all(torch.equal(first, summed_signs(ids, grads)[1]) for _ in range(20))


def test_the_gpus_table_is_the_cpus() -> None:
    gpu, cpu = table_at("device", WALK), DeviceTable(WALK.num, WALK.width, torch.device("cpu"))
    cpu.load_rows(WALK.start())
    for number, step in enumerate(WALK):
        # Only sums that are exact are the same in any order.
        if number % 2:
            run_step(gpu, put(step))
            run_step(cpu, step)
    assert same_bits(gpu.owned_rows(), cpu.owned_rows())
