"""Token losses and the loss of one ACT step, against plain numpy and at the awkward points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.tiny.models import IGNORED
from hrm_scale.models import Carry, Outputs, act_loss
from hrm_scale.models.losses import (
    TOKEN_LOSSES,
    log_stablemax,
    softmax_cross_entropy,
    stablemax_cross_entropy,
)


def carry_of(labels: torch.Tensor, halted: torch.Tensor, steps: int = 3) -> Carry:
    rows = len(labels)
    return Carry(
        z=(torch.zeros(rows, 1, 1), torch.zeros(rows, 1, 1)),
        steps=torch.full((rows,), steps, dtype=torch.int32),
        halted=halted,
        data={"labels": labels},
    )


def outputs_of(logits: torch.Tensor, target: bool = True) -> Outputs:
    rows = len(logits)
    q = torch.linspace(-2, 2, rows)
    return Outputs(logits, q, -q, torch.full((rows,), 0.25) if target else None)


def test_log_stablemax_is_a_distribution_and_equals_its_definition() -> None:
    x = torch.linspace(-8, 8, 33).view(3, 11)
    logs = log_stablemax(x)
    assert logs.dtype == torch.float64
    torch.testing.assert_close(logs.exp().sum(-1), torch.ones(3, dtype=torch.float64))
    numbers = x.double().numpy()
    scores = np.where(numbers < 0, 1 / (1 - np.minimum(numbers, 0)), numbers + 1)
    np.testing.assert_allclose(logs.numpy(), np.log(scores / scores.sum(-1, keepdims=True)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, 1e4, -1e4, 3e38, -3e38])
def test_stablemax_gradient_is_finite_where_a_branch_has_a_pole(
    value: float, dtype: torch.dtype
) -> None:
    # 1 / (1 - x) has a pole at x = 1: the branch not taken must not reach the gradient.
    logits = torch.full((2, 3, 5), value, dtype=dtype)
    logits[..., 0] = 1.0
    logits.requires_grad_()
    loss = stablemax_cross_entropy(logits, torch.zeros(2, 3, dtype=torch.int32))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_softmax_loss_is_the_textbook_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 4, 5))
    labels = rng.integers(0, 5, (2, 4))
    loss = softmax_cross_entropy(torch.from_numpy(x), torch.from_numpy(labels).int())
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    expected = -np.take_along_axis(logs, labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(TOKEN_LOSSES))
def test_ignored_labels_cost_nothing_and_get_no_gradient(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 7, 6, generator=generator).requires_grad_()
    labels = torch.randint(0, 6, (3, 7), generator=generator).int()
    labels[0, 2] = labels[2, :] = IGNORED
    loss = TOKEN_LOSSES[name](logits, labels)
    assert loss.shape == labels.shape
    assert (loss[labels == IGNORED] == 0).all()
    assert (loss[labels != IGNORED] > 0).all()
    loss.sum().backward()
    assert logits.grad is not None
    assert (logits.grad[labels == IGNORED] == 0).all()
    assert (logits.grad[labels != IGNORED] != 0).any(-1).all()


@pytest.mark.parametrize("name", sorted(TOKEN_LOSSES))
def test_lm_loss_is_the_mean_over_labelled_cells_summed_over_rows(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4, 6, 5, generator=generator)
    labels = torch.randint(0, 5, (4, 6), generator=generator).int()
    labels[1, 3:] = labels[3, :] = IGNORED
    _, metrics = act_loss(outputs_of(logits), carry_of(labels, torch.ones(4).bool()), name)
    token = TOKEN_LOSSES[name](logits, labels).double()
    expected = token[0].mean() + token[1, :3].mean() + token[2].mean()
    assert float(metrics["lm_loss"]) == pytest.approx(float(expected), rel=1e-6)


def test_loss_is_of_all_rows_and_metrics_are_of_halted_rows_with_labels() -> None:
    labels = torch.tensor([[1, 2], [1, 2], [1, 2], [IGNORED, IGNORED], [2, IGNORED]]).int()
    logits = torch.zeros(5, 2, 3)
    logits[0, [0, 1], [1, 2]] = 5.0  # both right
    logits[1, [0, 1], [1, 1]] = 5.0  # one right
    logits[2, [0, 1], [1, 2]] = 5.0  # both right, but goes on
    logits[4, [0, 1], [2, 0]] = 5.0  # the only labelled cell right
    halted = torch.tensor([True, True, False, True, True])
    outputs = outputs_of(logits)  # q_halt: -2, -1, 0, 1, 2
    loss, metrics = act_loss(outputs, carry_of(labels, halted), "softmax_cross_entropy")
    values = {name: float(value) for name, value in metrics.items()}
    assert values["count"] == 3
    assert values["exact_accuracy"] == 2
    assert values["accuracy"] == pytest.approx(2.5)
    assert values["steps"] == 9
    # Right about rows 1 (not solved, q < 0) and 4 (solved, q >= 0), wrong about row 0.
    assert values["q_halt_accuracy"] == 2
    parts = values["lm_loss"] + 0.5 * (values["q_halt_loss"] + values["q_continue_loss"])
    assert float(loss) == pytest.approx(parts, rel=1e-6)


def test_without_a_target_there_is_no_continue_loss() -> None:
    labels = torch.ones(2, 3).int()
    outputs = outputs_of(torch.zeros(2, 3, 4), target=False)
    loss, metrics = act_loss(
        outputs, carry_of(labels, torch.ones(2).bool()), "softmax_cross_entropy"
    )
    assert "q_continue_loss" not in metrics
    expected = float(metrics["lm_loss"]) + 0.5 * float(metrics["q_halt_loss"])
    assert float(loss) == pytest.approx(expected)


def test_only_the_loss_carries_a_gradient() -> None:
    logits = torch.randn(2, 3, 4).requires_grad_()
    loss, metrics = act_loss(
        outputs_of(logits),
        carry_of(torch.ones(2, 3).int(), torch.ones(2).bool()),
        "stablemax_cross_entropy",
    )
    assert loss.requires_grad
    assert not any(value.requires_grad for value in metrics.values())
