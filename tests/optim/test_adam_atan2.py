"""AdamATan2: the published rule, its invariances, and which implementation is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.parity.cases import Case
from benchmarks.parity.part_cases import check_adam_atan2
from hrm_scale.optim import adam_atan2
from hrm_scale.optim.adam_atan2 import AdamATan2, make_adam_atan2, resolve_backend

CPU = torch.device("cpu")


def run(
    start: Tensor,
    grads: Sequence[Tensor],
    lr: float = 1e-2,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.95),
) -> tuple[Tensor, AdamATan2]:
    param = nn.Parameter(start.clone())
    optimizer = AdamATan2([param], lr=lr, betas=betas, weight_decay=weight_decay)
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()
    return param.detach(), optimizer


def random_grads(count: int, size: int = 12) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(size, generator=generator) for _ in range(count)]


def test_steps_follow_the_published_rule_in_double_precision() -> None:
    start, grads = torch.linspace(-1, 1, 12), random_grads(7)
    ours, _ = run(start, grads, lr=0.01, weight_decay=0.1)
    p = start.double().numpy().copy()
    m, v = np.zeros(12), np.zeros(12)
    for t, grad in enumerate(grads, start=1):
        g = grad.double().numpy()
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        p *= 1 - 0.01 * 0.1
        p -= 0.01 / (1 - 0.9**t) * np.arctan2(m, np.sqrt(v / (1 - 0.95**t)))
    np.testing.assert_allclose(ours.numpy(), p, atol=1e-6)


@pytest.mark.parametrize("size", [3, 64])
def test_squares_that_are_denormals_give_the_published_second_moment(size: int) -> None:
    """Judged as a golden case is: expected values by the rule, scalar by scalar in fp32."""
    f32, b1, b2, lr, decay = np.float32, 0.95, 0.98, 0.01, 0.1
    gradients = [f32(g) for g in (1e-20, -1e-20, 3e-20, 5e-20, 7e-21, 1e-23, 0.0, 0.5)]
    tensors, name = {}, "w"
    for index, g in enumerate(gradients):
        p, m, v = f32(0.5), f32(0), f32(0)
        tensors[f"{index}/param/0/{name}"] = torch.full((size,), float(p))
        for t in range(1, 6):
            p *= f32(1 - lr * decay)
            m = m * f32(b1) + g * f32(1 - b1)
            v = v * f32(b2) + g * g * f32(1 - b2)
            turn = np.arctan2(m, np.sqrt(v) * f32(1 / math.sqrt(1 - b2**t)))
            p -= turn * f32(lr / (1 - b1**t))
            tensors[f"{index}/grad/{t}/{name}"] = torch.full((size,), float(g))
            tensors[f"{index}/param/{t}/{name}"] = torch.full((size,), float(p))
        tensors[f"{index}/exp_avg_sq/5/{name}"] = torch.full((size,), float(v))
    configs = [
        {"index": i, "params": [name], "lr_per_step": [lr] * 5, "weight_decay": decay}
        | {"beta1": b1, "beta2": b2}
        for i in range(len(gradients))
    ]
    report = check_adam_atan2(Case("denormals", {"configs": configs}, tensors), Path())
    assert set(report.rows) == {"parameters", "exp_avg_sq"}
    assert report.passed, report.rows
    # The units of a denormal: the one beside is another number.
    optimizer = run(torch.zeros(size), [torch.full((size,), 1e-20)] * 5, betas=(b1, b2))[1]
    (state,) = optimizer.state.values()
    assert set(state["exp_avg_sq"].view(torch.int32).tolist()) == {6855}


@given(st.integers(-40, 40))
def test_the_scale_of_gradients_does_not_matter(exponent: int) -> None:
    start, grads = torch.linspace(-1, 1, 12), random_grads(5)
    plain, _ = run(start, grads)
    scaled, _ = run(start, [grad * 2.0**exponent for grad in grads])
    # Powers of two lose no bits (where squares neither overflow nor vanish).
    torch.testing.assert_close(scaled, plain, rtol=0, atol=1e-6)


@given(st.floats(-1e6, 1e6, allow_nan=False).filter(lambda g: abs(g) > 1e-6))
def test_the_first_step_is_an_eighth_turn_times_lr(gradient: float) -> None:
    moved, _ = run(torch.zeros(1), [torch.tensor([gradient])], lr=1.0)
    # Both moments are corrected by their bias: atan2(0.1 g, |g|) / 0.1.
    expected = -math.copysign(math.atan2(0.1, 1.0) / 0.1, gradient)
    assert float(moved) == pytest.approx(expected, rel=1e-4)


def test_parameters_without_a_gradient_stay_as_they_are() -> None:
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = AdamATan2([used, unused], lr=0.1, weight_decay=0.5)
    used.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(3))
    assert unused not in optimizer.state
    assert not torch.equal(used.detach(), torch.ones(3))


def test_steps_are_counted_for_each_parameter() -> None:
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = AdamATan2([a, b], lr=0.1, weight_decay=0.0)
    for step in range(3):
        a.grad = torch.ones(2)
        b.grad = torch.ones(2) if step == 2 else None
        optimizer.step()
    assert (float(optimizer.state[a]["step"]), float(optimizer.state[b]["step"])) == (3, 1)
    # The first step of b is that of a fresh optimizer.
    fresh, _ = run(torch.zeros(2), [torch.ones(2)], lr=0.1, betas=(0.9, 0.999))
    assert torch.equal(b.detach(), fresh)


def test_decay_alone_shrinks_and_no_decay_leaves() -> None:
    start, zero = torch.tensor([2.0, -4.0]), torch.zeros(2)
    decayed, _ = run(start, [zero, zero], lr=0.1, weight_decay=0.5)
    torch.testing.assert_close(decayed, start * (1 - 0.05) ** 2)
    kept, _ = run(start, [zero, zero], lr=0.1, weight_decay=0.0)
    assert torch.equal(kept, start)


def test_the_state_is_fp32_whatever_the_gradient_is() -> None:
    param = nn.Parameter(torch.zeros(4, dtype=torch.bfloat16))
    optimizer = AdamATan2([param], lr=1e-2)
    param.grad = torch.ones(4, dtype=torch.bfloat16)
    optimizer.step()
    assert {value.dtype for value in optimizer.state[param].values()} == {torch.float32}
    assert optimizer.state[param]["step"].device == CPU


def test_state_dict_round_trip_continues_exactly() -> None:
    grads = random_grads(6)
    whole, _ = run(torch.zeros(12), grads)
    half, first = run(torch.zeros(12), grads[:3])
    param = nn.Parameter(half.clone())
    second = AdamATan2([param], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    second.load_state_dict(first.state_dict())
    for grad in grads[3:]:
        param.grad = grad.clone()
        second.step()
    assert torch.equal(param.detach(), whole)


@pytest.mark.parametrize(
    "settings",
    [{"lr": -1.0}, {"weight_decay": -0.1}, {"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        AdamATan2([nn.Parameter(torch.zeros(1))], **settings)  # type: ignore[arg-type]


def test_a_closure_is_called_with_gradients_enabled() -> None:
    param = nn.Parameter(torch.ones(2))
    optimizer = AdamATan2([param], lr=0.1)

    def closure() -> float:
        loss = param.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 2.0
    assert bool((param.detach() < 1).all())


def test_on_a_cpu_our_own_steps_are_taken_and_the_schedule_sets_lr() -> None:
    backend, why = resolve_backend(CPU)
    assert backend == "torch"
    assert "cpu" in why
    optimizer = make_adam_atan2([nn.Parameter(torch.ones(2))], CPU, (0.8, 0.9), 0.3)
    assert type(optimizer) is AdamATan2
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.0, (0.8, 0.9), 0.3)


class WrongSteps(AdamATan2):
    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            group["lr"] *= 1.001
        super().step()


def test_an_extension_that_steps_differently_is_noticed() -> None:
    assert adam_atan2._same_steps(AdamATan2, CPU)
    assert not adam_atan2._same_steps(WrongSteps, CPU)


def test_a_large_tensor_in_pieces_takes_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, also where the last piece is shorter and for a tensor that cannot be cut."""
    ends = []
    for piece in (1 << 17, 7):
        monkeypatch.setattr("hrm_scale.optim.adam_atan2._PIECE", piece)
        generator = torch.Generator().manual_seed(3)
        params = [torch.nn.Parameter(torch.randn(5, 9, generator=generator)) for _ in range(2)]
        params[1].data = params[1].data.t()
        optimizer = AdamATan2(params, lr=1e-2)
        for _ in range(3):
            for param in params:
                param.grad = torch.randn(param.shape, generator=generator)
            optimizer.step()
        ends.append([param.detach().clone() for param in params])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
