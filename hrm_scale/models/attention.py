"""Full (not causal) attention and the choice of what computes it."""

from __future__ import annotations

import importlib.util
import math

import torch
import torch.nn.functional as F
from torch import Tensor

BACKENDS = ("auto", "math", "sdpa", "flash2", "flash3")

# Beyond this length the scores of the plain method outgrow the caches of a CPU.
_MATH_MAX_LEN = 512


def resolve_backend(
    name: str, device: torch.device, dtype: torch.dtype, length: int = 81
) -> tuple[str, str]:
    """What computes attention, and why.

    `name` is one of `BACKENDS`; `length` is the number of positions. Raises ValueError when a
    backend was asked for by name that cannot run here.
    """
    if name not in BACKENDS:
        raise ValueError(f"attention backend {name!r} is not one of {', '.join(BACKENDS)}")
    if name in ("math", "sdpa"):
        return name, "asked for"
    if name in ("flash2", "flash3"):
        problem = _flash_problem(name, device, dtype)
        if problem:
            raise ValueError(f"attention backend {name!r} cannot be used: {problem}")
        return name, "asked for"
    if device.type == "cpu":
        if length <= _MATH_MAX_LEN:
            return "math", "on a CPU plain matrix products are fastest for short sequences"
        return "sdpa", "on a CPU the fused kernel saves memory for long sequences"
    for flash in ("flash3", "flash2"):
        if not _flash_problem(flash, device, dtype):
            return flash, "its package is installed and the GPU and dtype suit it"
    return "sdpa", f"torch's own kernel; {_flash_problem('flash2', device, dtype)}"


def _flash_problem(name: str, device: torch.device, dtype: torch.dtype) -> str:
    package = "flash_attn" if name == "flash2" else "flash_attn_interface"
    if device.type != "cuda":
        return "it needs a CUDA GPU"
    if dtype not in (torch.bfloat16, torch.float16):
        return f"it does not compute in {str(dtype).removeprefix('torch.')}"
    needed = (8, 0) if name == "flash2" else (9, 0)
    if torch.cuda.get_device_capability(device) < needed:
        return f"the GPU is older than compute capability {needed[0]}.{needed[1]}"
    if importlib.util.find_spec(package) is None:
        return f"the package {package} is not installed"
    return ""


def attend(q: Tensor, k: Tensor, v: Tensor, backend: str) -> Tensor:
    """softmax(q k^T / sqrt(K)) v for q, k, v [B, T, H, K]; returns [B, T, H, K]."""
    if backend == "flash2":
        from flash_attn import flash_attn_func

        return flash_attn_func(q, k, v)
    if backend == "flash3":
        from flash_attn_interface import flash_attn_func as flash_attn_3_func

        result = flash_attn_3_func(q, k, v)
        return result[0] if isinstance(result, tuple) else result
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if backend == "sdpa":
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    # The sum is divided out after the second product, as fused kernels do: fewer numbers to divide,
    # and the weights that are summed are the rounded ones that were used.
    scores = torch.matmul(q, k.transpose(-1, -2)).float()
    scores = (scores - scores.amax(-1, keepdim=True)) * (1 / math.sqrt(q.shape[-1]))
    weights = torch.exp(scores).to(v.dtype)
    total = weights.sum(-1, keepdim=True, dtype=torch.float32)
    return (torch.matmul(weights, v) / total).to(v.dtype).transpose(1, 2)
