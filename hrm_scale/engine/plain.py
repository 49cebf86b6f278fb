"""One process, or several that hold the whole model each and sum their gradients (DDP)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.optim import Optimizer

from hrm_scale.base.machine import launcher_number
from hrm_scale.checkpoint import pack_optimizer, unpack_optimizer
from hrm_scale.engine.engine import Check, Engine
from hrm_scale.engine.reduction import sum_over_ranks
from hrm_scale.optim.ema import WeightAverage
from hrm_scale.optim.ema import exchange as exchange_averages

# One bucket of this size holds the whole of a small model: few collectives, each well filled.
_BUCKET_MB = 128


class PlainEngine(Engine):
    """`device` is "auto", "cpu" or "cuda"; "auto" takes the GPU when there is one."""

    def __init__(self, device: str = "auto", timeout: timedelta = timedelta(minutes=10)) -> None:
        use_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
        launched = launcher_number("WORLD_SIZE", 1) > 1
        handlers: list[Any] = [
            DistributedDataParallelKwargs(
                broadcast_buffers=False, bucket_cap_mb=_BUCKET_MB, gradient_as_bucket_view=True
            )
        ]
        if launched:
            # Without an explicit backend Accelerate runs every CPU process as rank 0 of 1.
            backend = "gloo" if use_cpu else None
            handlers.append(InitProcessGroupKwargs(backend=backend, timeout=timeout))
        # Precision is the model's business: it casts its weights itself.
        accelerator = Accelerator(cpu=use_cpu, mixed_precision="no", kwargs_handlers=handlers)
        self._accelerator = accelerator
        self.rank, self.ranks = accelerator.process_index, accelerator.num_processes
        # Accelerate numbers CPU processes as if they were devices.
        self.device = torch.device("cpu") if use_cpu else accelerator.device
        self.name = "one process" if self.ranks == 1 else f"DDP over {self.ranks} processes"
        self.reason = "DeepSpeed was not asked for"
        self._wrapped: Any = None
        self._open_messages(timeout)

    def prepare(
        self, model: nn.Module, optimizer: Optimizer, ema_rate: float | None = None
    ) -> None:
        self.model, self.optimizer = model, optimizer
        if ema_rate is not None:
            self.average = WeightAverage(optimizer, ema_rate)
        self._wrapped = model
        if self.ranks > 1:
            with warnings.catch_warnings():
                # torch 2.13 has renamed `broadcast_buffers`; Accelerate knows the old name only.
                warnings.simplefilter("ignore", FutureWarning)
                self._wrapped = self._accelerator.prepare_model(model, device_placement=False)
            self._wrapped.register_comm_hook(None, sum_over_ranks)

    def forward(self, *args: Any) -> Any:
        return self._wrapped(*args)

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        if last or self.ranks == 1:
            return nullcontext()
        return self._wrapped.no_sync()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, lr: float, check: Check | None = None) -> bool:
        update = True
        if check is not None:
            grads = [p.grad for p in self.model.parameters() if p.grad is not None]
            update = check(float(torch.nn.utils.get_total_norm(grads)))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if update:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return update

    @contextmanager
    def averaged(self) -> Iterator[None]:
        exchange_averages(self.model.parameters(), self.optimizer)
        try:
            yield
        finally:
            exchange_averages(self.model.parameters(), self.optimizer)

    def gradients(self) -> dict[str, Tensor]:
        named = self.model.named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    def full_parameters(self) -> dict[str, Tensor]:
        if self.rank:
            return {}
        return {name: p.detach() for name, p in self.model.named_parameters()}

    def full_moments(self) -> dict[str, Tensor]:
        if self.rank:
            return {}
        return pack_optimizer(self.model.named_parameters(), self.optimizer)

    def load_parameters(self, parameters: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(parameters[name])

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        unpack_optimizer(moments, self.model.named_parameters(), self.optimizer)
