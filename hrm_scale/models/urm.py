"""The Universal Reasoning Model: a universal transformer with truncated back-propagation through
its loops (arXiv 2512.14693)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hrm_scale.models.act import Noise
from hrm_scale.models.base import RecursiveCore, Weights
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.layers import Block
from hrm_scale.models.recursion import Cycles, grad_steps


class UrmCore(RecursiveCore):
    """One state, and H x L loops of one network over it in each reasoning step.

    The last `grad_cycles` loops of the last cycle keep a gradient. The published network has a
    short convolution in its SwiGLU (`conv_kernel: 2`).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.L_layers))
        self.init_hidden = self.start_state()

    def stacks(self) -> dict[str, nn.ModuleList]:
        return {"layers": self.layers}

    def initial(self) -> tuple[Tensor, ...]:
        """The state of a fresh slot, [D], broadcast over positions."""
        return (self.init_hidden.to(self.config.forward_dtype),)

    def reason(
        self,
        w: Weights,
        z: tuple[Tensor, ...],
        embedding: Tensor,
        cycles: Cycles,
        noise: Noise | None = None,
    ) -> tuple[Tensor, ...]:
        """The state [B, T, D] after all loops."""
        (state,), layers = z, w.stacks["layers"]
        steps_with_grad = grad_steps(self.config, cycles)
        with torch.no_grad():
            for _ in range(cycles.H * cycles.L - steps_with_grad):
                state = self.update(layers, state, embedding, noise)
        for _ in range(steps_with_grad):
            state = self.update(layers, state, embedding, noise)
        return (state,)
