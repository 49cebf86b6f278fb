"""The table of puzzle embeddings and its sparse sign-SGD.

The table is not a parameter of the model: a step gathers the rows it needs as a leaf that takes a
gradient, and hands the gradients back. So a table of gigabytes never passes through the engine.
"""

from __future__ import annotations

import torch
from torch import Tensor


class PuzzleTable:
    """`weights` fp32 [N, E], one row a puzzle identifier, starting at 0."""

    def __init__(self, num_identifiers: int, width: int, device: torch.device) -> None:
        self.weights = torch.zeros(num_identifiers, width, dtype=torch.float32, device=device)

    def gather(self, ids: Tensor) -> Tensor:
        """Rows [B, E] of identifiers int32 [B], as a leaf that requires grad."""
        return self.weights[ids.long()].requires_grad_()

    def update(self, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        """w = w * (1 - lr*wd) - lr * sign(sum of the gradients) for each distinct identifier.

        `ids` int [M] may repeat, `grads` [M, E] are theirs: of all slots, micro-steps and ranks of
        a step, in slot order. Shapes do not depend on how many identifiers are distinct, so that
        the update never waits for the device. sign(0) is 0; such rows still decay.
        """
        ids, order = ids.long().sort(stable=True)
        first = torch.ones_like(ids, dtype=torch.bool)
        first[1:] = ids[1:] != ids[:-1]
        segment = first.cumsum(0) - 1
        total = torch.zeros_like(grads).index_add_(0, segment, grads[order])
        # Slots of one identifier compute, and write, the same new row.
        rows = self.weights[ids] * (1 - lr * weight_decay) - lr * total[segment].sign()
        self.weights[ids] = rows
