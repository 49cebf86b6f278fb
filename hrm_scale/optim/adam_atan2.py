"""AdamATan2: Adam whose division is an arctangent, so that it needs no epsilon (arXiv 2407.05872).

The rule of the published CUDA kernel, t counted per parameter from 1, all in fp32:
``p *= 1 - lr*wd;  m = m*b1 + g*(1-b1);  v = v*b2 + g*g*(1-b2);``
``p -= lr / (1-b1^t) * atan2(m, sqrt(v) / sqrt(1-b2^t))``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

# Elements of each of five tensors that a CPU works on at a time: 2.5 MB, which its caches hold.
_PIECE = 1 << 17


class AdamATan2(Optimizer):
    """Scale-invariant Adam with decoupled weight decay.

    State per parameter: `step` (fp32 scalar), `exp_avg`, `exp_avg_sq`. A parameter without a
    gradient is left alone, its decay included.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 1e-2,
    ) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr ({lr}) and weight_decay ({weight_decay}) must not be negative")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1), not {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad.float(), group)
        return loss

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        if not state:
            # The count stays on the CPU, where reading it does not make the GPU wait.
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(param, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(param, dtype=torch.float32)
        state["step"] += 1
        count = state["step"].item()
        beta1, beta2 = group["betas"]
        lr = group["lr"]
        for p, g, mean, square in _pieces(param, grad, state["exp_avg"], state["exp_avg_sq"]):
            mean.lerp_(g, 1 - beta1)
            scratch = g.square()
            # v*b2 + g*g*(1-b2), rounded as CUDA's lerp does. `torch.lerp` computes v + w*(g*g - v),
            # which differs by more than rounding where the square is an fp32 denormal.
            square.sub_(square, alpha=1 - beta2).add_(scratch, alpha=1 - beta2)
            torch.sqrt(square, out=scratch).mul_(1 / math.sqrt(1 - beta2**count))
            p.mul_(1 - lr * group["weight_decay"])
            torch.atan2(mean, scratch, out=scratch)
            p.sub_(scratch, alpha=lr / (1 - beta1**count))


def _pieces(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """The same tensors, on a CPU cut into pieces that the several passes find in its caches: the
    one flat vector of ZeRO is as large as the model."""
    size = tensors[0].numel()
    if (
        tensors[0].device.type != "cpu"
        or size <= _PIECE
        or not all(t.is_contiguous() for t in tensors)
    ):
        return [tensors]
    return zip(*(tensor.view(-1).split(_PIECE) for tensor in tensors), strict=True)


@cache
def resolve_backend(device: torch.device) -> tuple[str, str]:
    """Which AdamATan2 runs on `device` ("torch" or "cuda-extension"), and why.

    The compiled extension is used only when it imports and takes the same steps as ours.
    """
    if device.type != "cuda":
        return "torch", f"the compiled extension has no {device.type} code"
    try:
        extension = importlib.import_module("adam_atan2").AdamATan2
    except Exception as error:  # a broken build can fail in any way
        return "torch", f"the compiled extension does not import ({type(error).__name__})"
    return (
        ("cuda-extension", "it imports and its steps equal ours")
        if _same_steps(extension, device)
        else ("torch", "the compiled extension's steps differ from the published rule")
    )


def _same_steps(extension: type[Optimizer], device: torch.device) -> bool:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(64, generator=generator)
    grads = [torch.randn(64, generator=generator).to(device) for _ in range(3)]
    results = []
    for optimizer_class in (AdamATan2, extension):
        param = torch.nn.Parameter(start.to(device, copy=True))
        optimizer = optimizer_class([param], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)  # type: ignore[call-arg]
        for grad in grads:
            param.grad = grad.clone()
            optimizer.step()
        results.append(param.detach())
    return torch.allclose(results[0], results[1], rtol=0, atol=1e-6)


def make_adam_atan2(
    params: Iterable[Tensor], device: torch.device, betas: tuple[float, float], weight_decay: float
) -> Optimizer:
    """The AdamATan2 that `resolve_backend` names for `device`, lr 0 until the schedule sets it."""
    backend, _ = resolve_backend(device)
    optimizer_class: Any = AdamATan2
    if backend == "cuda-extension":
        optimizer_class = importlib.import_module("adam_atan2").AdamATan2
    return optimizer_class(params, lr=0.0, betas=betas, weight_decay=weight_decay)
