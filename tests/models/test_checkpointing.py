"""Activation checkpointing keeps less and changes not a bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from benchmarks.tiny.models import exploring, random_batch, tiny_config
from hrm_scale.models import ActModel, ModelConfig, act_loss, build_model, refill
from hrm_scale.models.hrm import HrmCore
from hrm_scale.models.layers import block
from hrm_scale.planning.probe import measure

ROWS = 6
CONFIG = tiny_config(H_layers=2, L_layers=2, puzzle_emb_ndim=32)
KINDS = [
    (dtype, attention)
    for dtype in (torch.float32, torch.bfloat16)
    for attention in ("math", "sdpa")
]


def model_of(config: ModelConfig, run_block: Callable[..., Tensor] | None) -> ActModel:
    torch.manual_seed(0)
    model = build_model(config).train()
    if run_block is not None:
        cast(HrmCore, model.inner).run_block = run_block
    return model


def two_steps(
    config: ModelConfig, run_block: Callable[..., Tensor] | None = None
) -> dict[str, Tensor]:
    """Losses, states and gradients of two steps, the second on the carry of the first."""
    model = model_of(config, run_block)
    batch = random_batch(config, ROWS)
    carry = model.initial_carry(batch)
    results: dict[str, Tensor] = {}
    for step in range(2):
        vectors = torch.linspace(-1, 1, ROWS * 32).view(ROWS, 32).requires_grad_()
        carry, outputs = model(refill(carry, batch), vectors, exploring(ROWS, 3))
        loss, _ = act_loss(outputs, carry, "stablemax_cross_entropy")
        loss.backward()
        assert vectors.grad is not None
        results |= {f"{step} loss": loss.detach(), f"{step} table": vectors.grad}
        results |= {f"{step} z{level}": z for level, z in enumerate(carry.z)}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        results[name] = parameter.grad
    return results


def assert_equal_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(("dtype", "attention"), KINDS)
def test_losses_and_gradients_are_the_same_bits(dtype: torch.dtype, attention: str) -> None:
    config = replace(CONFIG, forward_dtype=dtype, attention=attention)
    plain = two_steps(config)
    again = two_steps(replace(config, activation_checkpointing=True))
    assert_equal_bits(plain, again)
    assert float(plain["inner.L_level.layers.0.mlp.down_proj.weight"].abs().sum()) > 0


# Every dtype and every attention once: each pays for its compilation.
@pytest.mark.parametrize(
    ("dtype", "attention"), [pytest.param(*KINDS[0], marks=pytest.mark.slow), KINDS[-1]]
)
def test_bits_stay_when_the_block_is_compiled(dtype: torch.dtype, attention: str) -> None:
    torch.compiler.reset()
    compiled: Any = torch.compile(block, dynamic=False, backend="aot_eager")
    config = replace(CONFIG, forward_dtype=dtype, attention=attention)
    plain = two_steps(config, compiled)
    assert_equal_bits(plain, two_steps(replace(config, activation_checkpointing=True), compiled))


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["math", "sdpa"])
def test_bits_stay_with_fused_kernels(attention: str) -> None:
    config = replace(CONFIG, attention=attention, compile=True, forward_dtype=torch.bfloat16)
    assert_equal_bits(two_steps(config), two_steps(replace(config, activation_checkpointing=True)))


@pytest.mark.parametrize(("dtype", "attention"), KINDS)
def test_only_block_inputs_are_kept(
    dtype: torch.dtype, attention: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(CONFIG, forward_dtype=dtype, attention=attention)
    plain, less = (
        measure(model_of(replace(config, activation_checkpointing=on), None), ROWS, LOSS)
        for on in (False, True)
    )
    with capsys.disabled():
        print(
            f"\n    {str(dtype).removeprefix('torch.')} {attention}: saved for the backward pass"
            f" {plain.blocks} bytes, with checkpointing {less.blocks}"
        )
    state = ROWS * config.total_len * config.hidden_size * dtype.itemsize
    # An input for each of the four blocks, and the last state for the read-out.
    assert less.blocks == 5 * state
    assert plain.blocks > 4 * less.blocks
    assert less.loss == plain.loss
    assert less.peak < plain.peak


LOSS = "stablemax_cross_entropy"


def test_nothing_is_kept_without_gradient() -> None:
    """Evaluation takes the plain path: a checkpoint there would only warn."""
    model = model_of(replace(CONFIG, activation_checkpointing=True), None).eval()
    batch = random_batch(CONFIG, ROWS)
    with torch.no_grad():
        carry = refill(model.initial_carry(batch), batch)
        _, outputs = model(carry, torch.zeros(ROWS, 32), None)
    assert not outputs.logits.requires_grad
