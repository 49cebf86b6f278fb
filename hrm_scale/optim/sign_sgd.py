"""Sparse sign-SGD: the arithmetic that every placement of the puzzle table shares."""

from __future__ import annotations

import torch
from torch import Tensor


def summed_signs(ids: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """`ids` [M] sorted, as int64, and for each the sign [M, E] of the sum of its gradients.

    `ids` int [M] may repeat, `grads` fp32 [M, E] are theirs. Slots of one identifier get the same
    signs. Shapes do not depend on how many identifiers are distinct, so that nothing waits for the
    device. sign(0) is 0.
    """
    ids, order = ids.long().sort(stable=True)
    first = torch.ones_like(ids, dtype=torch.bool)
    first[1:] = ids[1:] != ids[:-1]
    segment = first.cumsum(0) - 1
    sums = segment_sums if grads.device.type == "cpu" else segment_sums_in_fixed_order
    return ids, sums(segment, grads[order]).sign()


def segment_sums(segment: Tensor, values: Tensor) -> Tensor:
    """For each row of `values` [M, E] the sum of the rows of its segment, added one by one.

    `segment` int64 [M] counts up from 0.
    """
    return torch.zeros_like(values).index_add_(0, segment, values)[segment]


def segment_sums_in_fixed_order(segment: Tensor, values: Tensor) -> Tensor:
    """The same sums by doubling distances, in log2(M) passes.

    A GPU's `index_add_` adds in whatever order its threads arrive. Where a sum is nearly zero its
    sign would then be a matter of chance, and the copies of a table on several ranks, or a run and
    its resumption, would drift apart.
    """
    sums, distance = values.clone(), 1
    while distance < len(segment):
        other = (segment[distance:] != segment[:-distance]).unsqueeze(1)
        sums[distance:].add_(sums[:-distance].masked_fill(other, 0.0))
        distance *= 2
    last = torch.searchsorted(segment, segment, right=True) - 1
    return sums[last]


def stepped(rows: Tensor, signs: Tensor, lr: float, weight_decay: float) -> Tensor:
    """w * (1 - lr*wd) - lr * sign, for rows and signs fp32 [M, E]."""
    return rows * (1 - lr * weight_decay) - lr * signs
