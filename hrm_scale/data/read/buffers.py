"""Memory for batches, used again once nobody holds the batch.

A fresh block of some 100 kB costs a page fault for every 4 kB when it is first written, which is
more than filling it with examples costs.
"""

from __future__ import annotations

import math
import weakref
from collections import deque

import numpy as np

MAX_IDLE = 16
_GRAIN = 1 << 20
"""Larger blocks are multiples of this, so that those of nearly the same size can stand in for each
other."""


class BufferPool:
    """Arrays whose memory comes back by itself: when an array and all views of it are gone.

    Thread-safe: a deque's append and pop are atomic. `max_idle`: blocks kept of each size.
    """

    def __init__(self, max_idle: int = MAX_IDLE) -> None:
        self._max_idle = max_idle
        self._idle: dict[int, deque[bytearray]] = {}

    def empty(self, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
        """Like `numpy.empty`."""
        count = math.prod(shape)
        size = count * np.dtype(dtype).itemsize
        if size > _GRAIN:
            size = -(-size // _GRAIN) * _GRAIN
        idle = self._idle.setdefault(size, deque(maxlen=self._max_idle))
        try:
            block = idle.pop()
        except IndexError:
            block = bytearray(size)
        # numpy makes a view of a view refer to the first array whose memory is not an array's:
        # to `array`, as its memory is a bytearray. So its end is the end of all views of it.
        array: np.ndarray = np.frombuffer(block, dtype, count)
        view = array.reshape(shape)
        if view.base is array:  # should numpy ever do otherwise, memory is just not used again
            weakref.finalize(array, idle.append, block).atexit = False
        return view
