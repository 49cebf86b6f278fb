"""A small cache that threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SharedCache(Generic[Value]):
    """Keeps the newest `capacity` values; each is computed by one thread, others wait for it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.RLock()
        self._values: dict[Hashable, Value] = {}

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        # Reading a dict is atomic; only a miss needs the lock.
        value = self._values.get(key)
        if value is not None:
            return value
        with self._lock:
            if key not in self._values:
                value = compute()
                while len(self._values) >= self._capacity:
                    del self._values[next(iter(self._values))]
                self._values[key] = value
            return self._values[key]
