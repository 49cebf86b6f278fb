"""Building blocks: RMS norm, rotary positions, SwiGLU and the post-norm transformer block.

Parameters are fp32 and live in small modules whose names are those of published checkpoints. The
arithmetic lives in functions that take weights already cast to the forward dtype, because a
recursive model uses every weight many times in a step and should cast it once (`cast_blocks`).

Shape letters: B rows, T positions, D width, H heads, K head width, I inner width of SwiGLU.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from hrm_scale.models.attention import attend
from hrm_scale.models.config import ModelConfig


def truncated_normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill with a normal cut at two of its own standard deviations, having deviation `std` after.

    Cutting shrinks the deviation, by sqrt(1 - 2 * 2 * phi(2) / (2 * Phi(2) - 1)); the parent
    distribution is widened by the same factor. A `std` of 0 gives zeros.
    """
    with torch.no_grad():
        if std == 0:
            return tensor.zero_()
        density = math.exp(-2.0) / math.sqrt(2 * math.pi)
        kept = math.erf(math.sqrt(2.0))
        parent = std / math.sqrt(1 - 4 * density / kept)
        return nn.init.trunc_normal_(tensor, std=parent, a=-2 * parent, b=2 * parent)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, in fp32, returned in the dtype of `x`."""
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


class Rotary(NamedTuple):
    """cos and sin of the rotary angles, fp32 [T, K] each (RoPE, arXiv 2104.09864)."""

    cos: Tensor
    sin: Tensor

    @staticmethod
    def table(length: int, head_dim: int, theta: float, device: torch.device | None) -> Rotary:
        half = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device)
        angles = torch.outer(
            torch.arange(length, dtype=torch.float32, device=device), theta ** (-half / head_dim)
        )
        both = torch.cat((angles, angles), dim=-1)
        return Rotary(both.cos(), both.sin())


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate-half RoPE on x [B, T, H, K], in fp32, returned in the dtype of `x`."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    cos, sin = rotary.cos.unsqueeze(-2), rotary.sin.unsqueeze(-2)
    return (x * cos + turned * sin).to(x.dtype)


class BlockSpec(NamedTuple):
    """The constants of a block."""

    num_heads: int
    eps: float
    attention: str
    mlp_t: bool = False


class BlockWeights(NamedTuple):
    """One block's weights in the forward dtype. Positions are mixed by attention, or by a SwiGLU of
    inner width J over them."""

    mix_in: Tensor  # attention [3*H*K, D]: all heads of q, then k, then v; SwiGLU [2*J, T]
    mix_out: Tensor  # attention [D, H*K]; SwiGLU [T, J]
    gate_up: Tensor  # [2*I, D]: gate first
    down: Tensor  # [D, I]
    conv: Tensor | None = None  # [I, 1, C]: one filter of C positions for each channel
    conv_bias: Tensor | None = None  # [I]


def block(x: Tensor, w: BlockWeights, rotary: Rotary | None, spec: BlockSpec) -> Tensor:
    """Post-norm block on x [B, T, D]: mix positions, then channels, each as x = rms(x + f(x))."""
    x = _mix_by_mlp(x, w, spec) if spec.mlp_t else _mix_by_attention(x, w, rotary, spec)
    hidden = _gated(F.linear(x, w.gate_up))
    if w.conv is not None:
        hidden = F.silu(short_convolution(hidden, w.conv, w.conv_bias))
    return _normed_sum(x, F.linear(hidden, w.down), spec.eps)


def _mix_by_attention(x: Tensor, w: BlockWeights, rotary: Rotary | None, spec: BlockSpec) -> Tensor:
    q, k, v = rearrange(F.linear(x, w.mix_in), "b t (n h k) -> n b t h k", n=3, h=spec.num_heads)
    if rotary is not None:
        q, k = rotate(q, rotary), rotate(k, rotary)
    mixed = rearrange(attend(q, k, v, spec.attention), "b t h k -> b t (h k)")
    return _normed_sum(x, F.linear(mixed, w.mix_out), spec.eps)


def _mix_by_mlp(x: Tensor, w: BlockWeights, spec: BlockSpec) -> Tensor:
    """Norm and SwiGLU over the positions of each channel (TRM, arXiv 2510.04871, sec. 4.5)."""
    x = x.transpose(1, 2)
    x = _normed_sum(x, F.linear(_gated(F.linear(x, w.mix_in)), w.mix_out), spec.eps)
    return x.transpose(1, 2)


# Without a backward pass nobody asks again for what was multiplied: written over, it costs neither
# memory nor another pass over it. The numbers are the same.


def _normed_sum(x: Tensor, fresh: Tensor, eps: float) -> Tensor:
    """rms_norm(x + fresh)."""
    total = x + fresh
    if torch.is_grad_enabled():
        return rms_norm(total, eps)
    return total.mul_(torch.rsqrt(total.float().square().mean(-1, keepdim=True) + eps))


def _gated(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    opened = F.silu(gate)
    return opened * up if torch.is_grad_enabled() else opened.mul_(up)


def short_convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Each channel of x [B, T, I] filtered over positions by weight [I, 1, C]: the value at t is of
    t - C//2 ... t - C//2 + C - 1, beyond the ends 0 (URM, arXiv 2512.14693, "ConvSwiGLU").

    As a sum of shifted products, which fuse, and need no other layout than the rest of the block.
    """
    length, width = x.shape[1], weight.shape[-1]
    before = width // 2
    padded = F.pad(x, (0, 0, before, width - 1 - before))
    shifted = (padded[:, j : j + length] * weight[:, 0, j] for j in range(width))
    total = reduce(torch.add, shifted)
    return total if bias is None else total + bias


class Linear(nn.Module):
    """Holds a bias-free weight [out, in], initialised with deviation 1/sqrt(in)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            truncated_normal_(torch.empty(out_features, in_features), 1 / math.sqrt(in_features))
        )


class Embedding(nn.Module):
    """Holds a table [entries, width], initialised with deviation `std`."""

    def __init__(self, entries: int, width: int, std: float) -> None:
        super().__init__()
        self.embedding_weight = nn.Parameter(truncated_normal_(torch.empty(entries, width), std))


class SelfAttention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        inner = config.num_heads * config.head_dim
        self.qkv_proj = Linear(config.hidden_size, 3 * inner)
        self.o_proj = Linear(inner, config.hidden_size)


class SwiGLU(nn.Module):
    """Weights of a SwiGLU from `width` over `inner` numbers, with a depthwise convolution of
    `conv_kernel` positions if that is not 0."""

    def __init__(self, width: int, inner: int, conv_kernel: int = 0) -> None:
        super().__init__()
        self.gate_up_proj = Linear(width, 2 * inner)
        self.down_proj = Linear(inner, width)
        if conv_kernel:
            self.dwconv = nn.Conv1d(inner, inner, conv_kernel, groups=inner)


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.mlp_t:
            self.mlp_t = SwiGLU(config.total_len, config.token_mlp_size)
        else:
            self.self_attn = SelfAttention(config)
        self.mlp = SwiGLU(config.hidden_size, config.mlp_size, config.conv_kernel)

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """The weights in `dtype`, connected to the fp32 parameters by autograd."""
        # The order in which the modules and their parameters were made is that of the fields.
        return BlockWeights(*(weight.to(dtype) for weight in self.parameters()))


class Level(nn.Module):
    """A stack of blocks: one recurrent network of the hierarchy."""

    def __init__(self, config: ModelConfig, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(config) for _ in range(depth))


def cast_blocks(blocks: nn.ModuleList, dtype: torch.dtype) -> list[BlockWeights]:
    """The weights of all blocks in `dtype`."""
    return [block.cast(dtype) for block in typing.cast(Iterable[Block], blocks)]
