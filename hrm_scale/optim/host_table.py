"""The puzzle table in host memory: rows travel to the device ahead of the step that needs them.

The host never asks the device which slots are free. A slot that keeps its example keeps the row it
had, which is still on the device; one that takes a new example takes the offered one, whose
identifier the host knows. Both rows are fetched before the previous step's update has arrived, so
that update stays on the device until the next one, and is applied to rows as they are gathered.
Meanwhile it travels to the host and is applied there.

So the host follows one update behind. It waits, in `offer`, for the update before the last one
only, which leaves the device a whole step of work in hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.optim.sign_sgd import stepped, summed_signs


@dataclass(frozen=True)
class _Update:
    """Signs int8 [M, E] of sorted identifiers int64 [M], and the rates. `arrived` is None, or marks
    the end of their way to the host."""

    ids: Tensor
    signs: Tensor
    lr: float
    weight_decay: float
    arrived: torch.cuda.Event | None = None

    def applied(self, rows: Tensor, ids: Tensor) -> Tensor:
        """`rows` [B, E] of identifiers [B], moved where this update is about them."""
        # Found by search and not by a mask: no shape depends on what the identifiers are.
        place = torch.searchsorted(self.ids, ids.long()).clamp(max=len(self.ids) - 1)
        about = (self.ids[place] == ids).unsqueeze(1)
        signs = self.signs[place].to(rows.dtype)
        return torch.where(about, stepped(rows, signs, self.lr, self.weight_decay), rows)

    def write(self, table: Tensor) -> None:
        """Move the rows of a `table` in host memory, once this update has arrived there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        first = torch.ones_like(self.ids, dtype=torch.bool)
        first[1:] = self.ids[1:] != self.ids[:-1]
        ids, signs = self.ids[first], self.signs[first].to(table.dtype)
        table[ids] = stepped(table[ids], signs, self.lr, self.weight_decay)


@dataclass(frozen=True)
class _Rows:
    """Rows [B, E] of identifiers [B] on the device, after the first `version` updates."""

    ids: Tensor
    rows: Tensor
    version: int


class HostTable(PuzzleTable):
    """The whole table in this rank's own host memory.

    What travels does so through pinned memory, in stream order. The table itself is not pinned: the
    device never reads it, and pinning would lock, and round up, gigabytes.
    """

    def __init__(self, num_identifiers: int, width: int, device: torch.device) -> None:
        super().__init__(num_identifiers, width)
        self._device = device
        self._table = torch.zeros(num_identifiers, width, dtype=torch.float32)
        self._version = 0  # updates so far
        self._last: _Update | None = None  # the newest, on the device
        self._sent: deque[_Update] = deque()  # those the table here lacks, oldest first
        self._offered: dict[int, _Rows] = {}
        self._carried: dict[int, _Rows] = {}

    def offer(self, ids: Sequence[np.ndarray]) -> None:
        self._catch_up(but=1)
        for micro, offered in enumerate(ids):
            self._offered[micro] = self._send(torch.from_numpy(offered))

    def gather(self, micro: int, ids: Tensor, fresh: Tensor) -> Tensor:
        """As for every table.

        Waits for the device only when `micro` was not offered, or not gathered in the last step
        since the rows were loaded.

        A slot whose identifier is neither the offered nor the carried one gets NaN: wrong rows
        would train on without a word.
        """
        # What was offered counts for one step.
        offered, carried = self._offered.pop(micro, None), self._carried.get(micro)
        if offered is None or carried is None or carried.version < self._version - 1:
            rows = self.lookup(ids)
        else:
            known = torch.where(fresh, offered.ids, carried.ids) == ids
            rows = torch.where(
                fresh.unsqueeze(1),
                self._up_to_date(offered),
                self._up_to_date(carried),
            )
            rows = rows.masked_fill(~known.unsqueeze(1), float("nan"))
        self._carried[micro] = _Rows(ids, rows, self._version)
        return rows.clone().requires_grad_()

    def lookup(self, ids: Tensor) -> Tensor:
        self._catch_up(but=1)
        return self._up_to_date(self._send(ids.cpu()))

    def update(self, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        self._catch_up(but=1)
        ids, signs = summed_signs(ids, grads)
        self._last = _Update(ids, signs.to(torch.int8), lr, weight_decay)
        self._version += 1
        self._sent.append(self._receive(self._last))

    def owned_rows(self) -> Tensor:
        self._catch_up(but=0)
        return self._table

    def load_rows(self, rows: Tensor) -> None:
        self.require_owned(rows)
        for waiting in (self._sent, self._offered, self._carried):
            waiting.clear()
        self._table.copy_(rows)

    def _up_to_date(self, fetched: _Rows) -> Tensor:
        """Rows that lack at most the last update, with it."""
        if fetched.version == self._version:
            return fetched.rows
        assert self._last is not None
        assert fetched.version == self._version - 1
        return self._last.applied(fetched.rows, fetched.ids)

    def _catch_up(self, but: int) -> None:
        """Apply to the table here all updates but the newest `but`."""
        while len(self._sent) > but:
            self._sent.popleft().write(self._table)

    def _send(self, ids: Tensor) -> _Rows:
        """Identifiers [B] and their rows, from here to the device."""
        pinned = self._device.type == "cuda"
        numbers = torch.empty(ids.shape, dtype=torch.int32, pin_memory=pinned).copy_(ids)
        rows = torch.empty(len(ids), self.width, dtype=torch.float32, pin_memory=pinned)
        torch.index_select(self._table, 0, numbers, out=rows)
        return _Rows(
            numbers.to(self._device, non_blocking=True),
            rows.to(self._device, non_blocking=True),
            self._version - len(self._sent),
        )

    def _receive(self, update: _Update) -> _Update:
        """The update on its way from the device to here."""
        if self._device.type != "cuda":
            return update
        ids, signs = (
            torch.empty(t.shape, dtype=t.dtype, pin_memory=True).copy_(t, non_blocking=True)
            for t in (update.ids, update.signs)
        )
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(self._device))
        return _Update(ids, signs, update.lr, update.weight_decay, arrived)
