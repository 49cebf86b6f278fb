"""Training steps as a puzzle table sees them: slots that keep or change identifiers, updates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hrm_scale.optim.puzzle_table import PuzzleTable


@dataclass(frozen=True)
class Step:
    """Of all ranks R and micro-steps K. `fresh` slots took their `offered` identifier and now have
    it in `ids`; gradients [R*K*B, E] are in the order that ranks exchange them in."""

    offered: Tensor
    fresh: Tensor
    ids: Tensor
    grads: Tensor
    lr: float
    weight_decay: float


@dataclass(frozen=True)
class Walk:
    """Steps over a table of `num` rows: `ranks` x `micros` x `rows` slots, of which a share
    `busy` keeps its example at each step. Few identifiers give many duplicates.

    With `on_halt`, busy slots are offered identifier 0, as the feed of that name does.
    """

    seed: int = 0
    steps: int = 6
    ranks: int = 1
    micros: int = 2
    rows: int = 4
    num: int = 7
    width: int = 5
    busy: float = 0.5
    on_halt: bool = False

    def start(self) -> Tensor:
        """The rows [num, width] at the beginning, with some -0.0 among them."""
        weights = torch.randn(self.num, self.width, generator=self._generator(1))
        weights[::3, 0] = -0.0
        return weights

    def __iter__(self) -> Iterator[Step]:
        generator = self._generator(0)
        shape = (self.ranks, self.micros, self.rows)
        draw = {"generator": generator}
        ids = torch.randint(self.num, shape, **draw)
        fresh = torch.ones(shape, dtype=torch.bool)
        for number in range(self.steps):
            offered = torch.randint(self.num, shape, **draw)
            if self.on_halt:
                offered = torch.where(fresh, offered, 0)
            ids = torch.where(fresh, offered, ids)
            grads = torch.randn(ids.numel(), self.width, **draw)
            if number % 2:
                # Eighths add up exactly: sums of exactly zero do occur.
                grads = torch.randint(-2, 3, grads.shape, **draw) / 8
            yield Step(
                offered.int(), fresh, ids.int(), grads, 0.1 / (1 + number), (0.3, 0.0)[number % 2]
            )
            fresh = torch.rand(shape, **draw) >= self.busy

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(2 * self.seed + stream)


def run_step(table: PuzzleTable, step: Step, rank: int = 0, offer: bool = True) -> Tensor:
    """Gather and update one step; the rows [K, B, E] that rank got."""
    if offer:
        table.offer(list(step.offered[rank].numpy()))
    got = [
        table.gather(micro, ids, fresh).detach()
        for micro, (ids, fresh) in enumerate(zip(step.ids[rank], step.fresh[rank], strict=True))
    ]
    table.update(step.ids.flatten(), step.grads, step.lr, step.weight_decay)
    return torch.stack(got)


def bits(tensor: Tensor) -> Tensor:
    """fp32 as integers: 0.0 and -0.0 differ, and NaN equals itself."""
    return tensor.detach().cpu().contiguous().view(torch.int32)


def same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(bits(one), bits(other))


class ThreadExchange:
    """The exchange of ranks that are threads of one process."""

    def __init__(self, rank: int, shared: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.ranks = rank, len(shared)
        self._shared, self._barrier = shared, barrier

    def gather_rows(self, rows: Tensor) -> Tensor:
        return torch.cat(self._swap(rows))

    def scatter_rows(self, rows: Tensor) -> Tensor:
        parts = [part.chunk(self.ranks)[self.rank] for part in self._swap(rows)]
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        return total

    def _swap(self, value: Tensor) -> list[Tensor]:
        self._shared[self.rank] = value
        self._barrier.wait()
        values = list(self._shared)
        self._barrier.wait()
        return values


def on_ranks(ranks: int, work: Callable[[ThreadExchange], Any]) -> list[Any]:
    """What `work` returns on each of as many threads as there are ranks."""
    shared: list[Any] = [None] * ranks
    barrier = threading.Barrier(ranks, timeout=30)
    with ThreadPoolExecutor(ranks) as pool:
        jobs = [pool.submit(work, ThreadExchange(rank, shared, barrier)) for rank in range(ranks)]
        return [job.result() for job in jobs]
