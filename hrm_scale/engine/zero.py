"""DeepSpeed ZeRO, stages 0 to 3, prepared by Accelerate and driven by the training step itself.

Accelerate's `backward` would also make the update; the guard must stand between the two, so the
step calls DeepSpeed's engine directly.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.engine import zero_state
from hrm_scale.engine.engine import Check, Engine
from hrm_scale.engine.zero_config import Settings, describe
from hrm_scale.optim.ema import WeightAverage


class ZeroEngine(Engine):
    """`settings` are complete (`zero_config.complete`); `source` says where they came from."""

    def __init__(self, device: str, settings: Settings, source: str, timeout: timedelta) -> None:
        on_cpu = _choose_accelerator(device)
        _enter_alone()
        accelerate = _import_deepspeed(on_cpu)
        plugin = accelerate.utils.DeepSpeedPlugin(hf_ds_config=settings, zero3_init_flag=False)
        # Without an explicit backend Accelerate runs every CPU process as rank 0 of 1.
        group = accelerate.utils.InitProcessGroupKwargs(
            backend="gloo" if on_cpu else "nccl", timeout=timeout
        )
        self._accelerator = accelerate.Accelerator(
            deepspeed_plugin=plugin,
            mixed_precision="no",
            gradient_accumulation_steps=settings["gradient_accumulation_steps"],
            kwargs_handlers=[group],
        )
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        if self._accelerator.num_processes != self.ranks:
            raise EnvironmentProblem(
                f"Accelerate sees {self._accelerator.num_processes} of {self.ranks} processes:"
                " start them all with one launcher (accelerate launch, torchrun, ./launch.sh train)"
            )
        self.device = torch.device("cpu") if on_cpu else self._accelerator.device
        self.name = f"DeepSpeed over {self.ranks} processes, {describe(settings)}"
        self.reason = source
        self.stage: int = settings["zero_optimization"]["stage"]
        self._bf16: bool = settings["bf16"]["enabled"]
        self.gathers = 0
        """How often parameters were gathered from all ranks (stage 3)."""
        self._engine: Any = None
        self._last = True
        self._check: Check | None = None
        self._update = True
        self._open_messages(timeout)

    def prepare(
        self, model: nn.Module, optimizer: Optimizer, ema_rate: float | None = None
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._parameters: dict[str, Any] = dict(model.named_parameters())
        exact = (
            {name: p.detach().clone() for name, p in self._parameters.items()} if self._bf16 else {}
        )
        self._engine, _ = self._accelerator.prepare(model, optimizer)
        if (inner := self._engine.basic_optimizer) is not optimizer:
            raise RuntimeError(
                f"DeepSpeed replaced {type(optimizer).__name__} by {type(inner).__name__}"
            )
        zero_state.set_masters(self._parameters, exact)
        if ema_rate is not None:
            self.average = WeightAverage(optimizer, ema_rate)
        self._guard(optimizer)

    def forward(self, *args: Any) -> Any:
        return self._engine(*args)

    @contextmanager
    def exchange(self, last: bool) -> Iterator[None]:
        self._last = last
        self._engine.set_gradient_accumulation_boundary(last)
        self._gather()
        yield

    def backward(self, loss: Tensor) -> None:
        # DeepSpeed takes the mean over ranks; its own division by the micro-steps is switched off.
        self._engine.backward(loss * self.ranks, scale_wrt_gas=False)

    def leaf_gradient(self, leaf: Tensor) -> Tensor:
        assert leaf.grad is not None
        return leaf.grad / self.ranks

    def step(self, lr: float, check: Check | None = None) -> bool:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self._check, self._update = check, True
        self._engine.step()
        # DeepSpeed leaves out the update when the gradient is not finite: nobody has asked then.
        if not self._engine.was_step_applied():
            self._update = False
            if check is not None:
                check(float("nan"))
        self._check = None
        return self._update

    def gathered(self) -> AbstractContextManager[None]:
        return self._gathered()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        with (
            self.gathered(),
            zero_state.averaged(
                self._parameters, self.stage, self._engine.optimizer, self.optimizer
            ),
        ):
            yield

    def gradients(self) -> dict[str, Tensor]:
        return zero_state.full_gradients(self._parameters)

    def full_parameters(self) -> dict[str, Tensor]:
        return zero_state.full_parameters(self._parameters, self.stage, keep=self.rank == 0)

    def full_moments(self) -> dict[str, Tensor]:
        return zero_state.full_moments(
            self._parameters, self._engine.optimizer, self.optimizer, keep=self.rank == 0
        )

    def load_parameters(self, parameters: Mapping[str, Tensor]) -> None:
        zero_state.load_parameters(self._parameters, self.stage, parameters)

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        zero_state.load_moments(self._parameters, self._engine.optimizer, self.optimizer, moments)

    def _guard(self, optimizer: Any) -> None:
        """Ask the step's check when DeepSpeed is about to update; the first of several groups asks
        for all of them."""
        update = optimizer.step

        def guarded(*args: Any, **options: Any) -> Any:
            check, self._check = self._check, None
            if check is not None:
                self._update = check(float(self._global_norm()))
            return update(*args, **options) if self._update else None

        optimizer.step = guarded

    def _global_norm(self) -> Tensor | float:
        if self.stage == 0:
            grads = [p.grad for p in self._parameters.values() if p.grad is not None]
            return torch.nn.utils.get_total_norm(grads)
        norm: Tensor | float = self._engine.optimizer._global_grad_norm
        return norm

    def _gather(self) -> None:
        """Stage 3: all parameters from all ranks, in one go, unless they are here already.

        They stay until the update. A recurrent model uses each of them many times in a step, and
        gathering module by module would fetch them anew each time.
        """
        if self.stage != 3:
            return
        gone = [p for p in self._parameters.values() if not _is_here(p)]
        if gone:
            gone[0].all_gather_coalesced(gone).wait()
            self.gathers += 1

    @contextmanager
    def _gathered(self) -> Iterator[None]:
        self._gather()
        try:
            yield
        finally:
            if self.stage == 3:
                here = list(self._parameters.values())
                here[0].partition(param_list=here, has_been_updated=False)


def _is_here(parameter: Any) -> bool:
    return bool(parameter.ds_status.name == "AVAILABLE")


def _choose_accelerator(device: str) -> bool:
    """Whether DeepSpeed will run on CPUs; it decides by what the machine has."""
    has_gpu = torch.cuda.is_available()
    if device == "cpu" and has_gpu:
        raise ConfigError(
            "engine.device=cpu with DeepSpeed on a machine with a GPU: hide the GPU with"
            ' CUDA_VISIBLE_DEVICES="", or type engine.deepspeed=off'
        )
    if device == "cuda" and not has_gpu:
        raise ConfigError("engine.device=cuda, but no CUDA GPU is usable: type engine.device=cpu")
    if not has_gpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return not has_gpu


def _enter_alone() -> None:
    """DeepSpeed wants a process group also for one process that no launcher has started."""
    if "RANK" in os.environ:
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def _import_deepspeed(on_cpu: bool) -> Any:
    """The accelerate module, with DeepSpeed importable and made fit for use without extras."""
    try:
        import accelerate
        import deepspeed.ops
    except ImportError as error:
        raise EnvironmentProblem(
            f"DeepSpeed was asked for and cannot be imported ({error}): pip install deepspeed, or"
            " type engine.deepspeed=off"
        ) from None
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # torch 2.13 renames collectives that DeepSpeed still calls by their old names.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    if on_cpu:
        # An operation that training never uses would be compiled at the first start; a process
        # killed meanwhile leaves a lock on which every later one waits for ever.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    try:
        importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        # It tells transformers of the settings, and fails where that is not installed.
        accelerate.utils.DeepSpeedPlugin.set_deepspeed_weakref = lambda self: None
    return accelerate
