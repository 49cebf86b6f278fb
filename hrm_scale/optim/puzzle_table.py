"""The table of puzzle embeddings: what a step asks of it, and the copy on the device.

The table is not a parameter of the model: a step gathers the rows it needs as a leaf that takes a
gradient, and hands the gradients back. So a table of gigabytes never passes through the engine,
and may live elsewhere than the model: see `host_table` and `sharded_table`. All placements compute
the same rows, bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hrm_scale.optim.sign_sgd import stepped, summed_signs


class PuzzleTable(ABC):
    """fp32 rows [num_identifiers, width], one a puzzle identifier, starting at 0."""

    def __init__(self, num_identifiers: int, width: int) -> None:
        self.num_identifiers, self.width = num_identifiers, width

    def offer(self, ids: Sequence[np.ndarray]) -> None:  # noqa: B027 - a hint most have no use for
        """Hear, before the first `gather` of a step, which identifiers int [B] the step's examples
        have, a micro-step each, whether or not their slots are free to take them."""

    @abstractmethod
    def gather(self, micro: int, ids: Tensor, fresh: Tensor) -> Tensor:
        """Rows [B, E] of identifiers int32 [B], as a leaf that requires grad.

        `fresh` bool [B] marks the slots that took their offered example in this step; the others
        have the identifier they had when this micro-step was last gathered.
        """

    @abstractmethod
    def lookup(self, ids: Tensor) -> Tensor:
        """The present rows [B, E] of identifiers int [B], without grad.

        When rows are spread over ranks, all ranks call this together with equally many `ids`.
        """

    @abstractmethod
    def update(self, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        """w = w * (1 - lr*wd) - lr * sign(sum of the gradients) for each distinct identifier.

        `ids` int [M] may repeat, `grads` fp32 [M, E] are theirs: of all slots, micro-steps and
        ranks of a step, in the same order on every rank. Where a sum is 0 the row only decays.
        """

    @property
    def owned(self) -> tuple[int, int]:
        """The identifiers [lo, hi) whose rows this rank keeps."""
        return 0, self.num_identifiers

    @abstractmethod
    def owned_rows(self) -> Tensor:
        """The fp32 rows [hi - lo, E] of `owned` after every update so far, on any device.

        They may be the table's own memory, good until the next update.
        """

    @abstractmethod
    def load_rows(self, rows: Tensor) -> None:
        """Replace the rows of `owned` by `rows` [hi - lo, E]. Raises ValueError when they do not
        fit."""

    def require_owned(self, rows: Tensor) -> None:
        """Raise ValueError unless `rows` have the shape of `owned`."""
        lo, hi = self.owned
        if tuple(rows.shape) != (hi - lo, self.width):
            raise ValueError(f"rows {[*rows.shape]} for a table of {[hi - lo, self.width]}")


class DeviceTable(PuzzleTable):
    """The whole table on this rank's device, in `weights`."""

    def __init__(self, num_identifiers: int, width: int, device: torch.device) -> None:
        super().__init__(num_identifiers, width)
        self.weights = torch.zeros(num_identifiers, width, dtype=torch.float32, device=device)

    def gather(self, micro: int, ids: Tensor, fresh: Tensor) -> Tensor:
        return self.lookup(ids).requires_grad_()

    def lookup(self, ids: Tensor) -> Tensor:
        return self.weights[ids.long()]

    def update(self, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        ids, signs = summed_signs(ids, grads)
        # Slots of one identifier compute, and write, the same new row.
        self.weights[ids] = stepped(self.weights[ids], signs, lr, weight_decay)

    def owned_rows(self) -> Tensor:
        return self.weights

    def load_rows(self, rows: Tensor) -> None:
        self.require_owned(rows)
        self.weights.copy_(rows)
