"""Giving the slots their examples, in the one order all ranks and resumed runs agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.data import Batch, Loader
from hrm_scale.engine import Engine
from hrm_scale.models import Carry
from hrm_scale.transfer import to_tensors

# Told the identifiers int32 [B] of the examples of each micro-step, while they are on the host.
Offer = Callable[[Sequence[np.ndarray]], None]


class Feed(Protocol):
    """Source of the batches of a run. `position` counts the samples drawn so far."""

    position: int

    def next(self, carries: Sequence[Carry] | None) -> list[dict[str, Tensor]]:
        """One batch a micro-step for this rank's slots, on the engine's device."""
        ...

    def close(self) -> None: ...


class AlwaysFeed:
    """A fresh example for every slot at every step; slots that are busy let theirs pass.

    This is what the published trainer does.
    """

    def __init__(
        self,
        loader: Loader,
        engine: Engine,
        position: int,
        shape: BatchShape,
        offer: Offer | None = None,
    ) -> None:
        self.position = position
        self._offer = offer
        self._batches = loader.batches(position)
        self._device = engine.device
        self._global_batch = shape.global_batch_size

    def next(self, carries: Sequence[Carry] | None) -> list[dict[str, Tensor]]:
        parts = next(self._batches)
        self.position += self._global_batch
        _tell(self._offer, parts)
        return [to_tensors(part, self._device) for part in parts]

    def close(self) -> None:
        self._batches.close()


class OnHaltFeed:
    """A slot takes the next example only when it is free, so nothing that was read is thrown away.

    Free slots are served in slot order over the whole global batch. Knowing which are free makes
    the host wait for the device once a step.
    """

    def __init__(
        self,
        loader: Loader,
        engine: Engine,
        position: int,
        shape: BatchShape,
        offer: Offer | None = None,
    ) -> None:
        self.position = position
        self._offer = offer
        self._loader, self._engine = loader, engine
        self._shape = shape

    def next(self, carries: Sequence[Carry] | None) -> list[dict[str, Tensor]]:
        parts = []
        for micro in range(self._shape.accumulation):
            if carries is None:
                free = np.ones(self._shape.micro_batch_size, dtype=bool)
            else:
                free = self._engine.gather_rows(carries[micro].halted).cpu().numpy()
            # Position of each slot's example, were it free: count of free slots before it.
            place = np.cumsum(free) - free
            mine = slice(*self._shape.slots(0, self._engine.rank))
            start = self.position + int(place[mine][0])
            taken = int(free[mine].sum())
            fresh = self._loader.fetch(start, start + taken)
            parts.append(_spread(fresh, free[mine]))
            self.position += int(free.sum())
        _tell(self._offer, parts)
        return [to_tensors(part, self._engine.device) for part in parts]

    def close(self) -> None:
        pass


def _tell(offer: Offer | None, parts: Sequence[Batch]) -> None:
    if offer is not None:
        offer([part.puzzle_identifiers for part in parts])


def _spread(fresh: Batch, free: np.ndarray) -> Batch:
    """Rows of `fresh` at the free slots, zeros elsewhere."""
    columns = []
    for column in fresh:
        out = np.zeros((len(free), *column.shape[1:]), dtype=column.dtype)
        out[free] = column
        columns.append(out)
    return Batch(*columns)


def open_feed(
    refill: str,
    loader: Loader,
    engine: Engine,
    position: int,
    shape: BatchShape,
    offer: Offer | None = None,
) -> Feed:
    """The feed for `data.refill`."""
    if refill == "on_halt":
        return OnHaltFeed(loader, engine, position, shape, offer)
    return AlwaysFeed(loader, engine, position, shape, offer)
