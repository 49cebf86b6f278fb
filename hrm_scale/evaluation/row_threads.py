"""Rows shared out to threads on a CPU.

Each operation of a small model is too short to be worth sharing out itself: two threads that each
compute half of the rows are faster than two that compute half of every operation. The numbers are
the same, as far as a row's do not depend on how many are computed beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch

from hrm_scale.evaluation.rollout import ModelOutputs, Query, rollout
from hrm_scale.models.inference import Reasoner


class RowThreads(NamedTuple):
    """Threads with a part of the rows each; no pool where one computes alone."""

    threads: int
    pool: ThreadPoolExecutor | None

    def rollout(
        self, reasoner: Reasoner, query: Query, report_steps: Collection[int]
    ) -> Iterator[ModelOutputs]:
        """As `rollout`, part by part: all answers to the first rows, then to the next."""
        share = -(-len(query) // self.threads)
        if self.pool is None or share < 2:
            yield from rollout(reasoner, query, report_steps)
            return
        parts = [query[start : start + share] for start in range(0, len(query), share)]
        for outputs in self.pool.map(
            lambda part: list(rollout(reasoner, part, report_steps)), parts
        ):
            yield from outputs


@contextmanager
def row_threads(device: torch.device, compiled: bool) -> Iterator[RowThreads]:
    """As many threads as torch uses, on a CPU. On a GPU, which wants all rows at once, and with a
    compiled model, which wants one shape and one thread, there is one."""
    count = torch.get_num_threads() if device.type == "cpu" and not compiled else 1
    if count == 1:
        yield RowThreads(1, None)
        return
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield RowThreads(count, pool)
    finally:
        # Threads made later would take over what was set last.
        torch.set_num_threads(count)
