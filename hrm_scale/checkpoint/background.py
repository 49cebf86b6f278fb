"""Saving while training goes on: a copy in host memory, written by a thread.

One save is under way at a time. What goes wrong is told at the next `collect`, never lost.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hrm_scale.checkpoint.manager import CheckpointManager, CheckpointNotSaved, Parts

if TYPE_CHECKING:
    from torch import Tensor


class BackgroundSaves:
    """Saves of one `manager`, beside the training loop.

    Every rank calls `start` and `collect(wait=True)` at the same steps.
    """

    def __init__(self, manager: CheckpointManager) -> None:
        self._manager = manager
        self._buffers: dict[tuple[str, str], Tensor] = {}
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a save is under way or waits to be collected."""
        return self._thread is not None

    @property
    def writing(self) -> bool:
        """Whether a save is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(
        self,
        step: int,
        parts: Parts,
        state: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        best: bool = False,
    ) -> None:
        """Copy `parts` to host memory and have them written; see `CheckpointManager.save`.

        The former save must have been collected.
        """
        assert self._thread is None
        copies = self._copied(parts)

        def work() -> None:
            _yield_to_training()
            try:
                self._manager.save(step, copies, state, config, best=best)
            except BaseException as error:  # told where it can be acted upon
                self._failure = error

        # A daemon: when training fails, the program must not wait for ranks that are gone.
        self._thread = threading.Thread(target=work, name="checkpoint", daemon=True)
        self._thread.start()

    def collect(self, *, wait: bool = False) -> CheckpointNotSaved | None:
        """What became of the last save: None when it is well, or still under way.

        `wait` for its end. Raises what is no failure to write.
        """
        if self._thread is None or (self.writing and not wait):
            return None
        self._thread.join()
        self._thread = None
        failure, self._failure = self._failure, None
        if failure is None or isinstance(failure, CheckpointNotSaved):
            return failure
        raise failure

    def _copied(self, parts: Parts) -> dict[str, dict[str, Tensor]]:
        """The same tensors in host memory that training does not touch, kept for the next save:
        fresh memory costs as much time as the copy."""
        import torch

        wanted = {(part, name): t for part, tensors in parts.items() for name, t in tensors.items()}
        buffers = {}
        for key, tensor in wanted.items():
            buffer = self._buffers.get(key)
            if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            buffer.copy_(tensor.detach(), non_blocking=True)
            buffers[key] = buffer
        self._buffers = buffers
        if torch.cuda.is_available():
            torch.cuda.current_stream().synchronize()
        copies: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
        for (part, name), buffer in buffers.items():
            copies[part][name] = buffer
        return copies


def _yield_to_training() -> None:
    """Take no processor from the training threads. Linux gives each thread its own priority."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
