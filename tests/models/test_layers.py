"""Norm, rotary positions, attention backends and initialisation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.models.attention import attend, resolve_backend
from hrm_scale.models.layers import Rotary, rms_norm, rotate, truncated_normal_

CPU = torch.device("cpu")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rms_norm_has_unit_mean_square_and_ignores_scale() -> None:
    x = random(4, 5, 64)
    y = rms_norm(x, 0.0)
    torch.testing.assert_close(y.square().mean(-1), torch.ones(4, 5))
    torch.testing.assert_close(rms_norm(1000 * x, 0.0), y)
    assert (rms_norm(torch.zeros(2, 8), 1e-5) == 0).all()


def test_rms_norm_epsilon_is_inside_the_root() -> None:
    x = torch.full((1, 4), 3.0)
    torch.testing.assert_close(rms_norm(x, 7.0), torch.full((1, 4), 3.0 / math.sqrt(9.0 + 7.0)))


def test_rms_norm_computes_in_fp32_and_keeps_the_dtype() -> None:
    x = (random(3, 64) * 200).bfloat16()
    y = rms_norm(x, 1e-5)
    assert y.dtype == torch.bfloat16
    # Not one rounding more than the last.
    assert torch.equal(y, rms_norm(x.float(), 1e-5).bfloat16())


def test_rotation_keeps_norms() -> None:
    x = random(2, 9, 3, 16)
    turned = rotate(x, Rotary.table(9, 16, 10000.0, CPU))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, 0], x[:, 0])
    assert not torch.allclose(turned[:, 1], x[:, 1])


@settings(max_examples=25)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 11))
def test_scores_depend_on_the_distance_of_positions_only(m: int, n: int, shift: int) -> None:
    q, k = random(1, 1, 1, 16, seed=1), random(1, 1, 1, 16, seed=2)
    table = Rotary.table(32, 16, 10000.0, CPU)

    def score(i: int, j: int) -> float:
        at = [Rotary(table.cos[p : p + 1], table.sin[p : p + 1]) for p in (i, j)]
        return float((rotate(q, at[0]) * rotate(k, at[1])).sum())

    assert score(m, n) == pytest.approx(score(m + shift, n + shift), abs=1e-4)


@pytest.mark.parametrize("length", [1, 5, 82])
def test_attention_backends_agree_with_the_definition(length: int) -> None:
    q, k, v = (random(2, length, 3, 16, seed=s) for s in range(3))
    scores = torch.einsum("bthk,bshk->bhts", q, k) / 4.0
    expected = torch.einsum("bhts,bshk->bthk", torch.softmax(scores, -1), v)
    for backend in ("math", "sdpa"):
        torch.testing.assert_close(attend(q, k, v, backend), expected, rtol=0, atol=1e-5)


def test_attention_gradients_agree() -> None:
    grads = {}
    for backend in ("math", "sdpa"):
        leaves = [random(2, 17, 2, 16, seed=s).requires_grad_() for s in range(3)]
        attend(*leaves, backend).square().sum().backward()
        grads[backend] = [leaf.grad for leaf in leaves]
    for ours, theirs in zip(*grads.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_attention_survives_scores_beyond_the_range_of_exp() -> None:
    q = random(1, 8, 1, 16) * 300
    mixed = attend(q, q, torch.ones(1, 8, 1, 16), "math")
    torch.testing.assert_close(mixed, torch.ones(1, 8, 1, 16))


def test_bf16_attention_is_close_to_fp32() -> None:
    q, k, v = (random(2, 40, 2, 16, seed=s) for s in range(3))
    exact = attend(q, k, v, "math")
    for backend in ("math", "sdpa"):
        rounded = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), backend)
        assert rounded.dtype == torch.bfloat16
        torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=0.03)


def test_attention_choice_on_a_cpu() -> None:
    assert resolve_backend("auto", CPU, torch.bfloat16, 81)[0] == "math"
    assert resolve_backend("auto", CPU, torch.bfloat16, 901)[0] == "sdpa"
    assert resolve_backend("sdpa", CPU, torch.float32)[0] == "sdpa"
    for flash in ("flash2", "flash3"):
        with pytest.raises(ValueError, match=r"needs a CUDA GPU"):
            resolve_backend(flash, CPU, torch.bfloat16)
    with pytest.raises(ValueError, match=r"'xformers' is not one of auto, math, sdpa"):
        resolve_backend("xformers", CPU, torch.bfloat16)


@pytest.mark.parametrize("std", [1.0, 1 / math.sqrt(512)])
def test_truncated_normal_has_the_deviation_asked_for_and_a_cut(std: float) -> None:
    torch.manual_seed(0)
    values = truncated_normal_(torch.empty(200_000), std)
    assert float(values.mean()) == pytest.approx(0, abs=5 * std / math.sqrt(200_000))
    assert float(values.std()) == pytest.approx(std, rel=0.01)
    # Two deviations of the parent, which is 1 / 0.8796 times as wide.
    edge = 2 * std / 0.87962566
    assert 0.995 * edge < float(values.abs().max()) <= 1.0001 * edge
    assert (truncated_normal_(torch.empty(3), 0.0) == 0).all()
