"""The sparse sign-SGD of the puzzle table, against the plain loop that defines it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hrm_scale.optim.puzzle_table import DeviceTable

CPU = torch.device("cpu")
ROWS, WIDTH = 7, 5
LR, DECAY = 0.125, 0.5
FRESH = torch.ones(3, dtype=torch.bool)


def table_of(weights: Tensor) -> DeviceTable:
    table = DeviceTable(*weights.shape, CPU)
    table.weights.copy_(weights)
    return table


def random_weights() -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(4))


def by_hand(weights: Tensor, ids: Tensor, grads: Tensor) -> Tensor:
    """One loop over distinct identifiers, in double precision sums of the very gradients."""
    out = weights.clone()
    for row in ids.unique().tolist():
        total = grads[ids == row].double().sum(0)
        out[row] = weights[row] * (1 - LR * DECAY) - LR * total.sign().float()
    return out


# Gradients in steps of 1/8 add up exactly, so that orders and signs of zero are exact too.
GRADS = st.lists(st.integers(-8, 8), min_size=WIDTH, max_size=WIDTH)
SLOTS = st.lists(st.tuples(st.integers(0, ROWS - 1), GRADS), min_size=1, max_size=20)


@given(SLOTS, st.randoms(use_true_random=False))
def test_update_is_the_definition_in_any_order(slots: list[tuple[int, list[int]]], rng) -> None:  # type: ignore[no-untyped-def]
    results = []
    for _ in range(2):
        ids = torch.tensor([slot[0] for slot in slots], dtype=torch.int32)
        grads = torch.tensor([slot[1] for slot in slots], dtype=torch.float32) / 8
        table = table_of(random_weights())
        table.update(ids, grads, LR, DECAY)
        assert torch.equal(table.weights, by_hand(random_weights(), ids, grads))
        untouched = [row for row in range(ROWS) if row not in set(ids.tolist())]
        assert torch.equal(table.weights[untouched], random_weights()[untouched])
        results.append(table.weights)
        rng.shuffle(slots)
    assert torch.equal(*results)


def test_the_sign_is_of_the_sum_over_slots() -> None:
    table = DeviceTable(3, 2, CPU)
    ids = torch.tensor([1, 2, 1, 1], dtype=torch.int32)
    grads = torch.tensor([[5.0, -1.0], [1.0, 1.0], [-2.0, 0.5], [-2.0, 0.25]])
    table.update(ids, grads, 0.1, 0.0)
    expected = torch.tensor([[0.0, 0.0], [-0.1, 0.1], [-0.1, -0.1]])
    torch.testing.assert_close(table.weights, expected)


def test_a_zero_sum_moves_nothing_but_still_decays() -> None:
    table = table_of(torch.ones(2, 1))
    table.update(torch.tensor([0, 0]), torch.tensor([[3.0], [-3.0]]), LR, DECAY)
    assert table.weights.flatten().tolist() == [1 - LR * DECAY, 1.0]


def test_no_rate_changes_nothing() -> None:
    table = table_of(random_weights())
    table.update(torch.tensor([0, 3, 3]), torch.randn(3, WIDTH), 0.0, DECAY)
    assert torch.equal(table.weights, random_weights())


def test_gather_hands_out_leaves_that_do_not_share_memory() -> None:
    table = table_of(random_weights())
    leaf = table.gather(0, torch.tensor([2, 2, 0], dtype=torch.int32), FRESH)
    assert leaf.is_leaf
    assert leaf.requires_grad
    assert torch.equal(leaf.detach(), random_weights()[[2, 2, 0]])
    leaf.square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.shape == (3, WIDTH)
    with torch.no_grad():
        leaf.zero_()
    assert torch.equal(table.weights, random_weights())


def test_a_table_starts_at_zero_in_fp32() -> None:
    table = DeviceTable(4, 3, CPU)
    assert table.weights.dtype == torch.float32
    assert not table.weights.any()
    with pytest.raises(IndexError):
        table.lookup(torch.tensor([4]))
