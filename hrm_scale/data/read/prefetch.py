"""Compute items ahead in threads and hand them out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Item = TypeVar("Item")


def ordered(
    function: Callable[[Task], Item], tasks: Iterator[Task], *, threads: int, ahead: int
) -> Iterator[Item]:
    """``map(function, tasks)`` with `ahead` results waiting or under way meanwhile.

    threads=0 computes in the caller. Closing the generator stops the threads; an error appears at
    its place in the order, so every thread count fails at the same item.
    """
    if threads == 0:
        for task in tasks:
            yield function(task)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="hrm-data")
    waiting: deque[Future[Item]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) > ahead:  # so `ahead` go on while the caller works on this one
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
