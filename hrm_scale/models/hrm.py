"""The Hierarchical Reasoning Model: a slow level H and a fast level L (arXiv 2506.21734, sec. 2).

Shape letters as in `layers.py`; P positions of the puzzle embedding stand before the S tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hrm_scale.models.act import Core
from hrm_scale.models.attention import resolve_backend
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.layers import (
    BlockSpec,
    BlockWeights,
    Embedding,
    Level,
    Linear,
    Rotary,
    block,
    truncated_normal_,
)


class HrmWeights(NamedTuple):
    """All weights in the forward dtype, cast once a step."""

    tokens: Tensor  # [V, D]
    positions: Tensor | None  # [T, D]
    H: list[BlockWeights]
    L: list[BlockWeights]
    head: Tensor  # [V, D]
    q: Tensor  # [2, D]
    q_bias: Tensor  # [2]


class QHead(nn.Module):
    """Weight [2, D] and bias [2] of the halt and continue values. They start at 0 and -5, so that a
    fresh model believes in nothing and does not halt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, width))
        self.bias = nn.Parameter(torch.full((2,), -5.0))


class HrmCore(Core):
    """One reasoning step: H_cycles x (L_cycles fast steps, one slow step), the last of each graded.

    The gradient is the one-step approximation of the fixed point's (sec. 2, "approximate
    gradient"): everything before the last L and the last H application runs without gradient.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.embed_tokens = Embedding(config.vocab_size, width, 1 / math.sqrt(width))
        self.lm_head = Linear(width, config.vocab_size)
        self.q_head = QHead(width)
        if config.pos_encodings == "learned":
            self.embed_pos = Embedding(config.total_len, width, 1 / math.sqrt(width))
        self.H_level = Level(config, config.H_layers)
        self.L_level = Level(config, config.L_layers)
        self.H_init = nn.Buffer(truncated_normal_(torch.empty(width), 1.0))
        self.L_init = nn.Buffer(truncated_normal_(torch.empty(width), 1.0))
        self._constants: tuple[torch.device, BlockSpec, Rotary | None] | None = None
        self.run_block: Callable[..., Tensor] = (
            torch.compile(block, dynamic=False) if config.compile else block
        )

    def initial(self) -> tuple[Tensor, ...]:
        """The states (z_H, z_L) of a fresh slot, [D] each, broadcast over positions."""
        dtype = self.config.forward_dtype
        return self.H_init.to(dtype), self.L_init.to(dtype)

    def cast(self) -> HrmWeights:
        dtype = self.config.forward_dtype
        return HrmWeights(
            tokens=self.embed_tokens.embedding_weight.to(dtype),
            positions=self.embed_pos.embedding_weight.to(dtype)
            if self.config.pos_encodings == "learned"
            else None,
            H=self.H_level.cast(dtype),
            L=self.L_level.cast(dtype),
            head=self.lm_head.weight.to(dtype),
            q=self.q_head.weight.to(dtype),
            q_bias=self.q_head.bias.to(dtype),
        )

    def embed(self, w: HrmWeights, inputs: Tensor, puzzle_vectors: Tensor | None) -> Tensor:
        """Input embedding [B, T, D] of inputs [B, S] and puzzle vectors [B, E]."""
        config = self.config
        embedding = F.embedding(inputs, w.tokens)
        if puzzle_vectors is not None:
            missing = config.prefix_len * config.hidden_size - config.puzzle_emb_ndim
            padded = F.pad(puzzle_vectors.to(embedding.dtype), (0, missing))
            prefix = rearrange(padded, "b (p d) -> b p d", p=config.prefix_len)
            embedding = torch.cat((prefix, embedding), dim=1)
        if w.positions is not None:
            # 1/sqrt(2) keeps the variance of a sum of two embeddings of equal variance.
            embedding = 0.707106781 * (embedding + w.positions)
        return math.sqrt(config.hidden_size) * embedding

    def reason(self, w: HrmWeights, z: tuple[Tensor, ...], embedding: Tensor) -> tuple[Tensor, ...]:
        """(z_H, z_L) [B, T, D] after one reasoning step."""
        z_H, z_L = z
        H_cycles, L_cycles = self.config.H_cycles, self.config.L_cycles
        with torch.no_grad():
            for fast_step in range(1, H_cycles * L_cycles):
                z_L = self._level(w.L, z_L, z_H + embedding)
                if fast_step % L_cycles == 0:
                    z_H = self._level(w.H, z_H, z_L)
        keep_little = self.config.activation_checkpointing and torch.is_grad_enabled()
        run = self._graded_level if keep_little else self._level
        z_L = run(w.L, z_L, z_H + embedding)
        z_H = run(w.H, z_H, z_L)
        return z_H, z_L

    def read(self, w: HrmWeights, z: tuple[Tensor, ...]) -> Tensor:
        """Logits [B, S, V], from the slow state behind the puzzle prefix."""
        return F.linear(z[0], w.head)[:, self.config.prefix_len :]

    def judge(self, w: HrmWeights, z: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Values of halting and of continuing, fp32 [B] each, from the first position."""
        q = F.linear(z[0][:, 0], w.q, w.q_bias).float()
        return q[:, 0], q[:, 1]

    def _level(self, weights: list[BlockWeights], z: Tensor, injection: Tensor) -> Tensor:
        spec, rotary = self._constants_on(z.device)
        x = z + injection
        for w in weights:
            x = self.run_block(x, w, rotary, spec)
        return x

    def _graded_level(self, weights: list[BlockWeights], z: Tensor, injection: Tensor) -> Tensor:
        """`_level` that keeps only the input of each block for the backward pass, which computes
        the block again. Nothing in a block is random, so no generator state is kept."""
        spec, rotary = self._constants_on(z.device)
        x = z + injection
        for w in weights:
            x = checkpoint(
                self.run_block, x, w, rotary, spec, use_reentrant=False, preserve_rng_state=False
            )
        return x

    def _constants_on(self, device: torch.device) -> tuple[BlockSpec, Rotary | None]:
        """Block constants and rotary table, made once for the device the model runs on."""
        if self._constants is None or self._constants[0] != device:
            config = self.config
            backend, _ = resolve_backend(
                config.attention, device, config.forward_dtype, config.total_len
            )
            spec = BlockSpec(config.num_heads, config.rms_norm_eps, backend)
            rotary = None
            if config.pos_encodings == "rope":
                rotary = Rotary.table(config.total_len, config.head_dim, config.rope_theta, device)
            self._constants = (device, spec, rotary)
        return self._constants[1:]
