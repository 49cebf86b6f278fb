"""The puzzle table cut into one range of rows a rank; no rank ever holds the whole of it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.optim.sign_sgd import stepped, summed_signs


class RowExchange(Protocol):
    """The two exchanges between ranks that rows need."""

    rank: int
    ranks: int

    def gather_rows(self, rows: Tensor) -> Tensor:
        """From [B, ...] on every rank to [ranks*B, ...], in rank order."""
        ...

    def scatter_rows(self, rows: Tensor) -> Tensor:
        """From [ranks*B, E] on every rank, added up, to this rank's [B, E]."""
        ...


class ShardedTable(PuzzleTable):
    """Rank r keeps ceil(N / ranks) rows from r * ceil(N / ranks) on, the last ranks fewer or none.

    A gather costs two exchanges: the ids of all ranks, and back a sum in which each row comes from
    its owner and zeros from all others. Rows are added as the integers of their bits, so that what
    arrives is what was kept, also for -0.0. An update costs none: each rank is given all gradients
    and writes what it owns.
    """

    def __init__(
        self, num_identifiers: int, width: int, device: torch.device, exchange: RowExchange
    ) -> None:
        super().__init__(num_identifiers, width)
        share = -(-num_identifiers // exchange.ranks)
        self._exchange = exchange
        self._lo, self._hi = (
            min(num_identifiers, share * rank) for rank in (exchange.rank, exchange.rank + 1)
        )
        # One spare row stands for all that are not owned, so that no shape depends on the ids.
        self._spare = self._hi - self._lo
        self._rows = torch.zeros(self._spare + 1, width, dtype=torch.float32, device=device)

    @property
    def owned(self) -> tuple[int, int]:
        return self._lo, self._hi

    def gather(self, micro: int, ids: Tensor, fresh: Tensor) -> Tensor:
        return self.lookup(ids).requires_grad_()

    def lookup(self, ids: Tensor) -> Tensor:
        places, mine = self._places(self._exchange.gather_rows(ids))
        bits = self._rows[places].view(torch.int32).masked_fill(~mine.unsqueeze(1), 0)
        found = self._exchange.scatter_rows(bits)
        return found.view(torch.float32)

    def update(self, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        ids, signs = summed_signs(ids, grads)
        places, _ = self._places(ids)
        self._rows[places] = stepped(self._rows[places], signs, lr, weight_decay)

    def owned_rows(self) -> Tensor:
        return self._rows[: self._spare]

    def load_rows(self, rows: Tensor) -> None:
        self.require_owned(rows)
        self._rows[: self._spare].copy_(rows)

    def _places(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Where each identifier's row is, the spare row for those of others; and which are ours."""
        mine = (ids >= self._lo) & (ids < self._hi)
        return (ids.long() - self._lo).masked_fill(~mine, self._spare), mine
