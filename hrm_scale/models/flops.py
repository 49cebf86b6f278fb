"""Floating-point operations of a step: matrix products only, a multiply-add counts as two.

These are the operations the algorithm asks for, its passes without gradient included. What a
kernel or activation checkpointing computes again is not counted, but for the attention scores,
which every fused attention recomputes in its backward pass.
"""

from __future__ import annotations

from hrm_scale.models.config import ModelConfig
from hrm_scale.models.recursion import STAGES, Cycles, Passes, curriculum_cycles, passes


def block_flops(config: ModelConfig, rows: int) -> int:
    """One forward pass of `rows` sequences through one block."""
    tokens, width = rows * config.total_len, config.hidden_size
    channels = tokens * 2 * 3 * width * config.mlp_size
    if config.mlp_t:
        return channels + rows * width * 2 * 3 * config.total_len * config.token_mlp_size
    inner = config.num_heads * config.head_dim
    return channels + tokens * (2 * 4 * width * inner + 4 * config.total_len * inner)


def reasoning_flops(config: ModelConfig, rows: int, cycles: Cycles | None = None) -> int:
    """One forward reasoning step."""
    return _blocks(passes(config, cycles), with_grad=False) * block_flops(config, rows)


def graded_flops(config: ModelConfig, rows: int, cycles: Cycles | None = None) -> int:
    """The forward passes of a reasoning step that keep a gradient."""
    return _blocks(passes(config, cycles), with_grad=True) * block_flops(config, rows)


def head_flops(config: ModelConfig, rows: int) -> int:
    return 2 * rows * config.total_len * config.hidden_size * config.vocab_size


def training_flops(config: ModelConfig, rows: int, cycles: Cycles | None = None) -> int:
    """One training step of `rows` slots: reasoning, its backward pass at twice the forward cost of
    what is grad_blocks, and the reasoning that bootstraps the Q-target, where there is one."""
    steps = 2 if config.bootstraps else 1
    total = steps * reasoning_flops(config, rows, cycles)
    total += 2 * graded_flops(config, rows, cycles) + recomputed_flops(config, rows, cycles)
    return total + 3 * head_flops(config, rows)


def mean_training_flops(config: ModelConfig, rows: int, curriculum: bool) -> float:
    """A training step's work, on average over a run with or without the depth curriculum."""
    if not curriculum:
        return training_flops(config, rows)
    return sum(
        share * training_flops(config, rows, curriculum_cycles(config, start))
        for start, _, share in STAGES
    )


def remaining_flops(
    config: ModelConfig, rows: int, step: int, total_steps: int, curriculum: bool
) -> float:
    """The work of all training steps after `step`, with or without the depth curriculum."""
    if not curriculum:
        return max(total_steps - step, 0) * training_flops(config, rows)
    work = 0.0
    for start, _, share in STAGES:
        first, last = start * total_steps, (start + share) * total_steps
        steps = max(last - max(first, step), 0.0)
        work += steps * training_flops(config, rows, curriculum_cycles(config, start))
    return work


def recomputed_flops(config: ModelConfig, rows: int, cycles: Cycles | None = None) -> int:
    """The attention scores of a training step that its backward pass computes again."""
    if config.mlp_t:
        return 0
    inner = config.num_heads * config.head_dim
    grad_blocks = _blocks(passes(config, cycles), with_grad=True)
    return grad_blocks * rows * config.total_len**2 * 2 * inner


def _blocks(stacks: tuple[Passes, ...], *, with_grad: bool) -> int:
    """Applications of a block, all of them or those with a gradient."""
    return sum(s.blocks * (s.with_grad + (0 if with_grad else s.free)) for s in stacks)
