"""What a model is built from: plain numbers, no files and no command line."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ModelConfig:
    """Shape and behaviour of a recursive reasoning model.

    Lengths are in tokens, widths in numbers per token. `puzzle_emb_ndim` = 0 means no puzzle
    embedding; otherwise `prefix_len` positions are put in front of the sequence.
    """

    vocab_size: int
    seq_len: int
    hidden_size: int
    num_heads: int
    H_layers: int
    L_layers: int
    H_cycles: int
    L_cycles: int
    expansion: float = 4.0
    puzzle_emb_ndim: int = 0
    pos_encodings: str = "rope"
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1
    act_enabled: bool = True
    forward_dtype: torch.dtype = torch.bfloat16
    attention: str = "auto"
    compile: bool = False
    activation_checkpointing: bool = False

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def prefix_len(self) -> int:
        """Positions taken by the puzzle embedding: ceil(puzzle_emb_ndim / hidden_size)."""
        return -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def total_len(self) -> int:
        """Positions the blocks see: prefix and sequence."""
        return self.prefix_len + self.seq_len

    @property
    def mlp_size(self) -> int:
        """Inner width of SwiGLU: 2/3 of expansion x width, rounded up to a multiple of 256."""
        return -(-round(self.expansion * self.hidden_size * 2 / 3) // 256) * 256
