"""Exponential moving average of the weights (as TRM keeps one, arXiv 2510.04871).

The average starts as a copy of a parameter before its first update; after every update
``average = mu * average + (1 - mu) * parameter``, in fp32. It is one more entry of the optimizer's
state, beside the moments: so it is made of whatever the optimizer really updates, be it whole
parameters or the flat slices of ZeRO, and it is saved, loaded and sharded as the moments are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

AVERAGE = "ema"
"""Key of a parameter's average in the optimizer's state."""


class WeightAverage:
    """Averages all that `optimizer` updates, from its next step on; `rate` is mu, in [0, 1).

    A step that is left out leaves the averages alone. A parameter that never had a gradient has
    neither moments nor an average: it is its own.
    """

    def __init__(self, optimizer: Optimizer, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"the rate of an average must lie in [0, 1), not {rate}")
        self.rate = rate
        # Optimizers make their moments when a parameter's state is empty, so the average must not
        # be put there before its first update.
        self._first: dict[Tensor, Tensor] = {}
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def _before(self, optimizer: Optimizer, *_: Any) -> None:
        for parameter in _parameters(optimizer):
            if parameter.grad is not None and average_of(parameter, optimizer) is None:
                self._first[parameter] = parameter.detach().to(torch.float32, copy=True)

    def _after(self, optimizer: Optimizer, *_: Any) -> None:
        for parameter, copy in self._first.items():
            optimizer.state[parameter][AVERAGE] = copy
        self._first.clear()
        self.update(optimizer)

    def update(self, optimizer: Optimizer) -> None:
        """Move every average towards its parameter once, as each step does by itself.

        A parameter without a gradient in this step has moved averages too; equal ones stay equal.
        """
        for parameter in _parameters(optimizer):
            if (average := average_of(parameter, optimizer)) is not None:
                average.lerp_(parameter.detach().float(), 1 - self.rate)


def average_of(parameter: Tensor, optimizer: Optimizer) -> Tensor | None:
    """The average of a parameter; None before its first update."""
    average: Tensor | None = optimizer.state.get(parameter, {}).get(AVERAGE)
    return average


def exchange(parameters: Iterable[Tensor], optimizer: Optimizer) -> None:
    """Let parameters and their averages change places; once more, and all is as before, bit for
    bit. Addresses stay, and no more than one parameter is held twice at a time."""
    with torch.no_grad():
        for parameter in parameters:
            if (average := average_of(parameter, optimizer)) is not None:
                raw = parameter.detach().clone()
                parameter.copy_(average)
                average.copy_(raw)


def _parameters(optimizer: Optimizer) -> Iterable[Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
