"""What all recursive cores share: embedding, read-out, halting head, and running a stack of blocks.

Shape letters as in `layers.py`; P positions of the puzzle embedding stand before the S tokens.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hrm_scale.models.act import Core, Noise
from hrm_scale.models.attention import resolve_backend
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.layers import (
    BlockSpec,
    BlockWeights,
    Embedding,
    Linear,
    Rotary,
    block,
    cast_blocks,
    truncated_normal_,
)
from hrm_scale.models.noise import normal


class Weights(NamedTuple):
    """All weights in the forward dtype, cast once a step."""

    tokens: Tensor  # [V, D]
    positions: Tensor | None  # [T, D]
    stacks: dict[str, list[BlockWeights]]
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


class RecursiveCore(Core):
    """A core whose latent states are changed by stacks of blocks, named in `stacks`.

    A subclass makes its stacks and start states, and says in `reason` what is applied to what. The
    first state is read: the answer behind the puzzle prefix, the halting values at position 0.
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
        self._constants: tuple[torch.device, BlockSpec, Rotary | None] | None = None
        self.run_block: Callable[..., Tensor] = (
            torch.compile(block, dynamic=False) if config.compile else block
        )
        self._normal = torch.compile(normal, dynamic=False) if config.compile else normal

    @abstractmethod
    def stacks(self) -> dict[str, nn.ModuleList]:
        """The blocks of every stack."""

    def start_state(self) -> nn.Buffer:
        """A new start state [D]; it is saved and never trained."""
        return nn.Buffer(truncated_normal_(torch.empty(self.config.hidden_size), 1.0))

    def cast(self) -> Weights:
        dtype = self.config.forward_dtype
        return Weights(
            tokens=self.embed_tokens.embedding_weight.to(dtype),
            positions=self.embed_pos.embedding_weight.to(dtype)
            if self.config.pos_encodings == "learned"
            else None,
            stacks={name: cast_blocks(blocks, dtype) for name, blocks in self.stacks().items()},
            head=self.lm_head.weight.to(dtype),
            q=self.q_head.weight.to(dtype),
            q_bias=self.q_head.bias.to(dtype),
        )

    def embed(self, w: Weights, inputs: Tensor, puzzle_vectors: Tensor | None) -> Tensor:
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

    def logits(self, w: Weights, z: tuple[Tensor, ...]) -> Tensor:
        return F.linear(z[0], w.head)[:, self.config.prefix_len :]

    def q_values(self, w: Weights, z: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        q = F.linear(z[0][:, 0], w.q, w.q_bias).float()
        return q[:, 0], q[:, 1]

    def update(
        self, stack: list[BlockWeights], z: Tensor, injection: Tensor, noise: Noise | None
    ) -> Tensor:
        """The state z [B, T, D] after a stack of blocks was applied to z + injection.

        With `relaxation` r it is (1 - r) z + r of that, and noise of deviation `noise_scale` is
        added (EqR, arXiv 2605.21488, "noise injection").
        """
        config = self.config
        spec, rotary = self._constants_on(z.device)
        x = z + injection
        keep_little = config.activation_checkpointing and torch.is_grad_enabled()
        for w in stack:
            # Keeping little, a block is computed again for the backward pass. Nothing in it is
            # random, so no generator state is kept.
            x = (
                checkpoint(
                    self.run_block,
                    x,
                    w,
                    rotary,
                    spec,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
                if keep_little
                else self.run_block(x, w, rotary, spec)
            )
        if config.relaxation < 1:
            x = torch.lerp(z, x, config.relaxation)
        if noise is not None and config.noise_scale:
            drawn = self._normal(noise.keys, noise.drawn, (z.shape[1], z.shape[2]))
            noise.drawn += 1
            x = x + (config.noise_scale * drawn).to(x.dtype)
        return x

    def _constants_on(self, device: torch.device) -> tuple[BlockSpec, Rotary | None]:
        """Block constants and rotary table, made once for the device the model runs on."""
        if self._constants is None or self._constants[0] != device:
            config = self.config
            backend, _ = resolve_backend(
                config.attention, device, config.forward_dtype, config.total_len
            )
            spec = BlockSpec(config.num_heads, config.rms_norm_eps, backend, config.mlp_t)
            rotary = None
            if config.pos_encodings == "rope":
                rotary = Rotary.table(config.total_len, config.head_dim, config.rope_theta, device)
            self._constants = (device, spec, rotary)
        return self._constants[1:]
