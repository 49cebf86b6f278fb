"""A plain transformer in the place of HRM's hierarchy, the ACT wrapper kept (ARC Prize, "The hidden
drivers of HRM's performance", 2025)."""

from __future__ import annotations

from torch import Tensor, nn

from hrm_scale.models.act import Noise
from hrm_scale.models.base import RecursiveCore, Weights
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.layers import Level
from hrm_scale.models.recursion import Cycles


class TransformerCore(RecursiveCore):
    """One state, and one pass of one level over it in each reasoning step, with a gradient."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.H_level = Level(config, config.H_layers)
        self.H_init = self.start_state()

    def stacks(self) -> dict[str, nn.ModuleList]:
        return {"H_level": self.H_level.layers}

    def initial(self) -> tuple[Tensor, ...]:
        """The state of a fresh slot, [D], broadcast over positions."""
        return (self.H_init.to(self.config.forward_dtype),)

    def reason(
        self,
        w: Weights,
        z: tuple[Tensor, ...],
        embedding: Tensor,
        cycles: Cycles,
        noise: Noise | None = None,
    ) -> tuple[Tensor, ...]:
        """The state [B, T, D] after one pass; there are no cycles."""
        return (self.update(w.stacks["H_level"], z[0], embedding, noise),)
