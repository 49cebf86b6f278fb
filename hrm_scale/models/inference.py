"""Asking a trained model: the same reasoning step as in training, without what only training needs.

Weights are cast once and a puzzle is embedded once, however many ACT steps follow; an answer is
read only where somebody looks at it. The numbers are those of `ActModel.forward` in eval mode, bit
for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hrm_scale.models.act import ActModel, random_states
from hrm_scale.models.noise import normal
from hrm_scale.models.recursion import full_depth


class Reasoner:
    """The weights of a model as they are now, ready to reason on any number of rows."""

    def __init__(self, model: ActModel) -> None:
        self.config = model.config
        self._core = model.inner
        self._cycles = full_depth(model.config)
        with torch.no_grad():
            self._weights = self._core.cast()

    @torch.no_grad()
    def embed(self, inputs: Tensor, vectors: Tensor | None) -> Tensor:
        """Input embedding [B, T, D] of inputs int32 [B, S] and puzzle vectors [B, E] (or None)."""
        return self._core.embed(self._weights, inputs, vectors)

    @torch.no_grad()
    def start(self, rows: int, device: torch.device) -> tuple[Tensor, ...]:
        """The state [rows, T, D] of each level before the first step, the same for every row."""
        config, states = self.config, self._core.initial()
        if config.random_init:
            # Trained on a state of its own for each row; here all rows share one of those.
            states = self._random(torch.zeros(1, dtype=torch.int64, device=device))
        shape = (rows, config.total_len, config.hidden_size)
        return tuple(state.expand(shape).contiguous() for state in states)

    @torch.no_grad()
    def random_start(self, keys: Tensor) -> tuple[Tensor, ...]:
        """A random state [B, T, D] of each level for every key int64 [B] (EqR, arXiv 2605.21488,
        "random initialization"): cut normal numbers of deviation 1, as the trained start has."""
        return tuple(state.contiguous() for state in self._random(keys))

    @torch.no_grad()
    def with_noise(
        self, z: tuple[Tensor, ...], keys: Tensor, step: int, scale: float
    ) -> tuple[Tensor, ...]:
        """The states with normal noise of deviation `scale` added, drawn by (key, step, level) for
        keys int64 [B] (PTRM, arXiv 2605.19943: noise at inference)."""
        shape = (self.config.total_len, self.config.hidden_size)
        return tuple(
            state + (scale * normal(keys, step * len(z) + level, shape)).to(state.dtype)
            for level, state in enumerate(z)
        )

    @torch.no_grad()
    def step(self, z: tuple[Tensor, ...], embedding: Tensor) -> tuple[Tensor, ...]:
        """The states [B, T, D] after one more ACT step."""
        return self._core.reason(self._weights, z, embedding, self._cycles)

    @torch.no_grad()
    def logits(self, z: tuple[Tensor, ...]) -> Tensor:
        """Logits [B, S, V] of the answer."""
        return self._core.logits(self._weights, z)

    @torch.no_grad()
    def q_values(self, z: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Values of halting and of going on, fp32 [B] each."""
        return self._core.q_values(self._weights, z)

    def _random(self, keys: Tensor) -> tuple[Tensor, ...]:
        return random_states(self.config, keys, len(self._core.initial()))
