"""The Hierarchical Reasoning Model, a slow level H and a fast level L (arXiv 2506.21734)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hrm_scale.models.act import Noise
from hrm_scale.models.base import RecursiveCore, Weights
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.layers import Level
from hrm_scale.models.recursion import Cycles, grad_steps


class HrmCore(RecursiveCore):
    """One reasoning step: H cycles of L fast steps and one slow step each.

    The last slow step and the last `grad_cycles` fast steps keep a gradient; with one it is the
    one-step approximation of the fixed point's (sec. 2, "approximate gradient").
    """

    slow, fast = "H_level", "L_level"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if self.slow != self.fast:
            self.H_level = Level(config, config.H_layers)
        self.L_level = Level(config, config.L_layers)
        self.H_init = self.start_state()
        self.L_init = self.start_state()

    def stacks(self) -> dict[str, nn.ModuleList]:
        return {name: getattr(self, name).layers for name in dict.fromkeys((self.slow, self.fast))}

    def initial(self) -> tuple[Tensor, ...]:
        """The states (z_H, z_L) of a fresh slot, [D] each, broadcast over positions."""
        dtype = self.config.forward_dtype
        return self.H_init.to(dtype), self.L_init.to(dtype)

    def reason(
        self,
        w: Weights,
        z: tuple[Tensor, ...],
        embedding: Tensor,
        cycles: Cycles,
        noise: Noise | None = None,
    ) -> tuple[Tensor, ...]:
        """(z_H, z_L) [B, T, D] after one reasoning step."""
        z_H, z_L = z
        slow, fast = w.stacks[self.slow], w.stacks[self.fast]
        steps_with_grad = grad_steps(self.config, cycles)
        with torch.no_grad():
            for step in range(1, cycles.H * cycles.L - steps_with_grad + 1):
                z_L = self.update(fast, z_L, z_H + embedding, noise)
                if step % cycles.L == 0:
                    z_H = self.update(slow, z_H, z_L, noise)
        for _ in range(steps_with_grad):
            z_L = self.update(fast, z_L, z_H + embedding, noise)
        z_H = self.update(slow, z_H, z_L, noise)
        return z_H, z_L
