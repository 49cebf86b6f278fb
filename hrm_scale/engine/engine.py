"""What a training run needs from the machinery of processes and devices.

Gradients are plain sums: `backward` is given this rank's share of ``loss / global_batch_size``, and
after the last micro-step every parameter's gradient is the sum over micro-steps and ranks. The
step's division is the only one; an engine whose library takes a mean undoes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from hrm_scale.engine.fate import gather_objects, shared_fate
from hrm_scale.optim.ema import WeightAverage

Check = Callable[[float], bool]

_RANKS_PER_CALL = 8  # 64 ranks agree at every 8th call

# torch 2.13 renames these and warns at each use of the old names.
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
_reduce_scatter = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)


class Engine(ABC):
    """One process of a run: its rank, its device, and the prepared model and optimizer.

    `optimizer` is the one that makes the updates, whatever is wrapped around it.
    """

    rank: int
    ranks: int
    device: torch.device
    model: nn.Module
    optimizer: Optimizer
    name: str
    """What the engine is, for people: "one process", "DDP over 2 processes", ..."""
    reason: str
    """Why this one was taken."""
    average: WeightAverage | None = None
    """What keeps averaged weights beside the moments, when the run has any."""

    # --- the step -------------------------------------------------------------------------------

    @abstractmethod
    def prepare(
        self, model: nn.Module, optimizer: Optimizer, ema_rate: float | None = None
    ) -> None:
        """Take the model and its optimizer; both are on `self.device` already. With `ema_rate`
        averaged weights are kept too, the old average's share in the new one."""

    @abstractmethod
    def forward(self, *args: Any) -> Any:
        """The prepared model's forward pass."""

    @abstractmethod
    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Context of one micro-step: with `last`, gradients are complete on leaving it."""

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss`, this rank's share of the step's loss."""

    def leaf_gradient(self, leaf: Tensor) -> Tensor:
        """This rank's gradient of a leaf that is no parameter, after `backward`."""
        assert leaf.grad is not None
        return leaf.grad

    @abstractmethod
    def step(self, lr: float, check: Check | None = None) -> bool:
        """Update the parameters at learning rate `lr` and clear their gradients.

        `check` is given the L2 norm of all gradients before anything is updated, the same on every
        rank. When it returns False, or raises, parameters and moments stay as they were. Returns
        whether they were updated.
        """

    def gathered(self) -> AbstractContextManager[None]:
        """Context in which the model can be used outside a step, for evaluation."""
        return nullcontext()

    @abstractmethod
    def averaged(self) -> AbstractContextManager[None]:
        """`gathered`, and the model computes with the averaged weights inside; every rank enters.

        Nothing may be trained, saved or loaded there. Afterwards all is as it was, bit for bit.
        """

    # --- state, by parameter name, the same for every engine -------------------------------------

    @abstractmethod
    def gradients(self) -> dict[str, Tensor]:
        """Complete gradients by parameter name, between the last backward and the step."""

    @abstractmethod
    def full_parameters(self) -> dict[str, Tensor]:
        """All fp32 parameters on rank 0, nothing on others; every rank calls it."""

    @abstractmethod
    def full_moments(self) -> dict[str, Tensor]:
        """Optimizer state as `KEY/PARAMETER` on rank 0, nothing on others; every rank calls it.
        Averaged weights are among it, as `ema/PARAMETER`."""

    @abstractmethod
    def load_parameters(self, parameters: Mapping[str, Tensor]) -> None:
        """Put back what `full_parameters` gave, in the midst of training. (A new process loads them
        into the model before it is prepared.)"""

    @abstractmethod
    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Put back what `full_moments` gave, whatever engine gave it."""

    # --- collectives ------------------------------------------------------------------------------

    def gather_rows(self, rows: Tensor) -> Tensor:
        """[B, ...] of every rank as [ranks*B, ...], in rank order."""
        if self.ranks == 1:
            return rows
        out = rows.new_empty(self.ranks * rows.shape[0], *rows.shape[1:])
        _all_gather(out, rows.contiguous())
        return out

    def scatter_rows(self, rows: Tensor) -> Tensor:
        """Elementwise sum over ranks of [ranks*B, ...]; this rank's slice [B, ...] of it."""
        if self.ranks == 1:
            return rows
        out = rows.new_empty(rows.shape[0] // self.ranks, *rows.shape[1:])
        _reduce_scatter(out, rows.contiguous())
        return out

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over ranks."""
        if self.ranks > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather_objects(self, value: Any) -> list[Any]:
        """Small picklable values of all ranks by rank: a barrier and a broadcast too."""
        return gather_objects(value, self.ranks, self._messages)

    def gather_objects_aside(self, value: Any) -> list[Any]:
        """`gather_objects` over connections of its own, for one other thread."""
        return gather_objects(value, self.ranks, self._aside)

    def shared_fate(self) -> AbstractContextManager[None]:
        """Context in which a user error on one rank becomes every rank's, told by one of them."""
        return shared_fate(self.rank, self.ranks, self._messages)

    def agree(self, *numbers: int) -> list[int]:
        """The largest of all ranks' numbers, as of the previous call; zeros where it did not ask.

        One call late, so that the ranks' answers travel while the step computes: asking costs no
        waiting, neither for other ranks nor for the device. Many ranks ask at every few calls only:
        a ring over all of them takes longer than a short step. Every rank calls equally often.
        """
        if self.ranks == 1:
            return list(numbers)
        answer = [0] * len(numbers)
        if self._asked is not None:
            work, pending = self._asked
            work.wait()
            answer, self._asked = pending.tolist(), None
        self._calls += 1
        if self._calls % max(1, self.ranks // _RANKS_PER_CALL) == 0:
            question = torch.tensor(numbers)
            work = dist.all_reduce(question, dist.ReduceOp.MAX, self._messages, async_op=True)
            self._asked = (work, question)
        return answer

    def close(self) -> None:
        """Leave the process group."""
        if self._asked is not None:
            self._asked[0].wait()
            self._asked = None
        if self.ranks > 1:
            # Nobody closes its connections while another rank may still be reading from them.
            dist.barrier(self._messages)
        if dist.is_initialized():
            dist.destroy_process_group()

    # Pickled messages and agreements go by gloo: on a GPU they must not wait for its queue.
    _messages: dist.ProcessGroup | None = None
    _aside: dist.ProcessGroup | None = None
    _asked: tuple[Any, Tensor] | None = None
    _calls = 0

    def _open_messages(self, timeout: timedelta) -> None:
        if self.ranks == 1:
            return
        if dist.get_backend() != "gloo":
            self._messages = dist.new_group(backend="gloo", timeout=timeout)
        self._aside = dist.new_group(backend="gloo", timeout=timeout)
