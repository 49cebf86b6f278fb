"""Random numbers that depend on a key and a place alone, not on a generator's state.

So a slot draws the same noise whatever rank or micro-step it is in, on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Twice the standard normal distribution is cut; its deviation shrinks to this.
_CUT = 2.0
_CUT_DEVIATION = math.sqrt(
    1 - 2 * _CUT * math.exp(-(_CUT**2) / 2) / math.sqrt(2 * math.pi) / math.erf(_CUT / math.sqrt(2))
)


def uniform(keys: Tensor, stream: int, shape: tuple[int, int]) -> Tensor:
    """fp32 [B, *shape] in (0, 1) for int64 keys [B]; other streams are other numbers.

    The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of the place's number.
    """
    place = torch.arange(math.prod(shape), device=keys.device).view(shape)
    x = keys.view(-1, 1, 1) + (place + (stream << 40)) * -0x61C8864680B583EB
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    return (_shifted(x ^ _shifted(x, 31), 41).float() + 0.5) * 2.0**-23


def normal(keys: Tensor, stream: int, shape: tuple[int, int]) -> Tensor:
    """Standard normal numbers, fp32 [B, *shape]."""
    return math.sqrt(2) * torch.erfinv(2 * uniform(keys, stream, shape) - 1)


def cut_normal(keys: Tensor, stream: int, shape: tuple[int, int]) -> Tensor:
    """Normal numbers cut at two deviations and of deviation 1 after it, fp32 [B, *shape]."""
    inside = math.erf(_CUT / math.sqrt(2)) * (2 * uniform(keys, stream, shape) - 1)
    return math.sqrt(2) / _CUT_DEVIATION * torch.erfinv(inside)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """`x` shifted right as a number without sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
