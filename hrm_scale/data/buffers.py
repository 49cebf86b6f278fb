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


class BufferPool:
    """Arrays whose memory comes back by itself: when an array and all views of it are gone.

    Thread-safe: a deque's append and pop are atomic.
    """

    def __init__(self) -> None:
        self._idle: dict[int, deque[bytearray]] = {}

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Like `numpy.empty`."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        idle = self._idle.setdefault(size, deque(maxlen=MAX_IDLE))
        try:
            block = idle.pop()
        except IndexError:
            block = bytearray(size)
        # numpy makes a view of a view refer to the first array whose memory is not an array's:
        # to `array`, as its memory is a bytearray. So its end is the end of all views of it.
        array: np.ndarray = np.frombuffer(block, dtype)
        view = array.reshape(shape)
        if view.base is array:  # should numpy ever do otherwise, memory is just not used again
            weakref.finalize(array, idle.append, block).atexit = False
        return view
