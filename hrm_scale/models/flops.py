"""Floating-point operations of a step: matrix products only, a multiply-add counts as two.

These are the operations the algorithm asks for, its passes without gradient included. What a
kernel or activation checkpointing computes again is not counted, but for the attention scores,
which every fused attention recomputes in its backward pass.
"""

from __future__ import annotations

from hrm_scale.models.config import ModelConfig


def level_flops(config: ModelConfig, rows: int, layers: int) -> int:
    """One forward pass of `rows` sequences through a level of `layers` blocks."""
    tokens, width = rows * config.total_len, config.hidden_size
    inner = config.num_heads * config.head_dim
    projections = 2 * (4 * width * inner + 3 * width * config.mlp_size)
    return layers * tokens * (projections + 4 * config.total_len * inner)


def reasoning_flops(config: ModelConfig, rows: int) -> int:
    """One forward reasoning step: H_cycles x L_cycles passes of L and H_cycles passes of H."""
    fast = config.H_cycles * config.L_cycles * level_flops(config, rows, config.L_layers)
    return fast + config.H_cycles * level_flops(config, rows, config.H_layers)


def head_flops(config: ModelConfig, rows: int) -> int:
    return 2 * rows * config.total_len * config.hidden_size * config.vocab_size


def training_flops(config: ModelConfig, rows: int) -> int:
    """One training step of `rows` slots: reasoning, its backward, and the Q-target's reasoning.

    The backward pass of the last L and the last H pass costs twice their forward.
    """
    graded = level_flops(config, rows, config.L_layers + config.H_layers)
    inner = config.num_heads * config.head_dim
    scores = (config.L_layers + config.H_layers) * rows * config.total_len**2 * 2 * inner
    steps = 2 if config.halt_max_steps > 1 and config.act_enabled else 1
    total = steps * reasoning_flops(config, rows) + 2 * graded + scores
    return total + 4 * head_flops(config, rows)


def evaluation_flops(config: ModelConfig, rows: int) -> int:
    """Evaluating `rows` examples: `halt_max_steps` reasoning steps and as many read-outs."""
    step = reasoning_flops(config, rows) + head_flops(config, rows)
    return config.halt_max_steps * step
