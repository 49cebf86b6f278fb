"""Bytes alive at each moment of a computation, on any device and on tensors without memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of every storage that an operator makes while this mode is on.

    `live` bytes now, `peak` the most at once so far. What existed before is not counted, nor is
    what a kernel takes for itself and gives back before it returns. A storage counts from its
    making until its last owner, the autograd graph among them, lets go of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._held: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {
            tensor.untyped_storage()._cdata
            for tensor in tree_iter((args, kwargs))
            if isinstance(tensor, Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._add(tensor, known)
        return result

    def _add(self, tensor: Tensor, known: set[int]) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in known or key in self._held:
            return
        self._held[key] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key).atexit = False

    def _drop(self, key: int) -> None:
        self.live -= self._held.pop(key, 0)

    @contextmanager
    def phase(self, peaks: dict[str, int], name: str) -> Iterator[None]:
        """Note the peak of the statements inside as ``peaks[name]``."""
        self.peak = self.live
        yield
        peaks[name] = self.peak


class SavedBytes:
    """Bytes that autograd keeps for the backward pass, each storage once.

    A context manager. Storages named by `ignore` (parameters, their casts, inputs) are left out.
    """

    def __init__(self) -> None:
        self._ignored: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def ignore(self, tensors: Any) -> None:
        """Leave out the tensors of a nested structure, as long as they live."""
        for tensor in tree_iter(tensors):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._ignored.add(storage._cdata)
                # The next storage at this address is another one.
                weakref.finalize(storage, self._ignored.discard, storage._cdata).atexit = False

    @property
    def total(self) -> int:
        return sum(self._sizes.values())

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._ignored and key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            weakref.finalize(storage, self._sizes.pop, key, None).atexit = False
        return tensor

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._hooks.__exit__(*details)
