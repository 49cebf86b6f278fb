"""What the training step needs from the machinery of processes and devices, behind one class.

Gradients are plain sums: `backward` is given this rank's share of ``loss / global_batch_size``, and
after the last micro-step every parameter's gradient is the sum over micro-steps and ranks. Nothing
here divides, so the step's division is the only one.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.optim import Optimizer

from hrm_scale.engine.reduction import sum_over_ranks


class Engine:
    """One process of a run: its rank, its device, and the prepared model and optimizer.

    `device` is "auto", "cpu" or "cuda"; "auto" takes the GPU when there is one.
    """

    def __init__(self, device: str = "auto", timeout: timedelta = timedelta(minutes=10)) -> None:
        use_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
        launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
        # Without an explicit backend Accelerate runs every CPU process as rank 0 of 1.
        backend = "gloo" if use_cpu and launched else None
        handlers: list[Any] = [DistributedDataParallelKwargs(broadcast_buffers=False)]
        if launched:
            handlers.append(InitProcessGroupKwargs(backend=backend, timeout=timeout))
        # Precision is the model's business: it casts its weights itself.
        self._accelerator = Accelerator(cpu=use_cpu, mixed_precision="no", kwargs_handlers=handlers)
        self.rank = self._accelerator.process_index
        self.ranks = self._accelerator.num_processes
        self.device = self._accelerator.device
        self.model: nn.Module
        self.optimizer: Optimizer
        self._wrapped: nn.Module

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Take the model and its optimizer; both are on `self.device` already."""
        self.model, self.optimizer = model, optimizer
        self._wrapped = self._accelerator.prepare_model(model, device_placement=False)
        if self.ranks > 1:
            self._wrapped.register_comm_hook(None, sum_over_ranks)  # type: ignore[operator]

    def forward(self, *args: Any) -> Any:
        return self._wrapped(*args)

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Context of one micro-step: ranks exchange gradients in the `last` one only."""
        if last or self.ranks == 1:
            return nullcontext()
        return self._wrapped.no_sync()  # type: ignore[operator]

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss`, this rank's share of the step's loss."""
        loss.backward()

    def grad_norm(self) -> Tensor:
        """L2 norm of all gradients together, fp32 on the device."""
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        return torch.nn.utils.get_total_norm(grads)

    def step(self, lr: float) -> None:
        """Update the parameters at learning rate `lr` and clear their gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def gather_rows(self, rows: Tensor) -> Tensor:
        """The rows of all ranks, in rank order; every rank has equally many."""
        return self._accelerator.gather(rows)

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over ranks."""
        return self._accelerator.reduce(values, reduction="sum")

    def close(self) -> None:
        """Leave the process group."""
        self._accelerator.end_training()
