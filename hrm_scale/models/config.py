"""What a model is built from: plain numbers, no files and no command line."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ModelConfig:
    """Shape and behaviour of a recursive reasoning model.

    `name` is the architecture, a key of `registry.CORES`. Lengths are in tokens, widths in numbers
    per token. `puzzle_emb_ndim` = 0 means no puzzle embedding; otherwise `prefix_len` positions are
    put in front of the sequence. `grad_cycles` is how many low-level steps of the last high-level
    cycle keep a gradient; None is all of them.
    """

    vocab_size: int
    seq_len: int
    hidden_size: int
    num_heads: int
    H_layers: int
    L_layers: int
    H_cycles: int
    L_cycles: int
    name: str = "hrm_v1"
    grad_cycles: int | None = 1
    expansion: float = 4.0
    mlp_t: bool = False
    conv_kernel: int = 0
    puzzle_emb_ndim: int = 0
    puzzle_emb_len: int = 0
    pos_encodings: str = "rope"
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1
    act_enabled: bool = True
    q_continue: str = "bootstrap"
    random_init: bool = False
    noise_scale: float = 0.0
    relaxation: float = 1.0
    forward_dtype: torch.dtype = torch.bfloat16
    attention: str = "auto"
    compile: bool = False
    activation_checkpointing: bool = False

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def prefix_len(self) -> int:
        """Positions of the puzzle embedding: `puzzle_emb_len`, or ceil(its width / hidden_size)."""
        if self.puzzle_emb_ndim and self.puzzle_emb_len:
            return self.puzzle_emb_len
        return -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def total_len(self) -> int:
        """Positions the blocks see: prefix and sequence."""
        return self.prefix_len + self.seq_len

    @property
    def mlp_size(self) -> int:
        """Inner width of the SwiGLU over the width."""
        return self._inner_size(self.hidden_size)

    @property
    def token_mlp_size(self) -> int:
        """Inner width of the SwiGLU over the positions, where `mlp_t` mixes them by one."""
        return self._inner_size(self.total_len)

    @property
    def bootstraps(self) -> bool:
        """Whether training makes the target of Q-learning, by a second reasoning step."""
        return self.act_enabled and self.halt_max_steps > 1 and self.q_continue == "bootstrap"

    def _inner_size(self, width: int) -> int:
        """2/3 of expansion x width, rounded up to a multiple of 256."""
        return -(-round(self.expansion * width * 2 / 3) // 256) * 256
