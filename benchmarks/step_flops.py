"""Floating-point operations of a training step as torch counts them, operator by operator."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from hrm_scale.models import ActModel, Draws, act_loss, refill
from hrm_scale.planning.probe import zero_batch


def count_flops(model: ActModel, rows: int) -> int:
    """Matrix products of one training step of `rows` slots, forward and backward.

    The model may be on the meta device: nothing needs computing. Its attention must be torch's or
    plain products (``attention="math"``, ``"sdpa"``); what a fused kernel computes again is not
    seen where attention is counted as plain products.
    """
    config, device = model.config, next(model.parameters()).device
    batch = zero_batch(config, rows, device)
    vectors = None
    if config.puzzle_emb_ndim:
        vectors = torch.zeros(rows, config.puzzle_emb_ndim, device=device, requires_grad=True)
    draws = Draws(
        torch.zeros(rows, device=device),
        torch.zeros(rows, dtype=torch.int32, device=device),
        torch.zeros(rows, dtype=torch.int64, device=device),
    )
    carry = refill(model.initial_carry(batch), batch)
    with FlopCounterMode(display=False) as counter:
        new_carry, outputs = model(carry, vectors, draws)
        act_loss(outputs, new_carry, "softmax_cross_entropy")[0].backward()
    total: int = counter.get_total_flops()
    return total
