"""Models and batches small enough for tests that run in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrm_scale.models import ActModel, Carry, Draws, ModelConfig, Outputs, build_model, refill
from hrm_scale.optim.puzzle_table import PuzzleTable

IGNORED = -100


def tiny_config(**changes: Any) -> ModelConfig:
    """A float32 model of width 32 for 4x4 boards; `changes` are fields of ModelConfig."""
    settings: dict[str, Any] = {
        "vocab_size": 6,
        "seq_len": 16,
        "hidden_size": 32,
        "num_heads": 2,
        "H_layers": 1,
        "L_layers": 1,
        "H_cycles": 2,
        "L_cycles": 2,
        "puzzle_emb_ndim": 16,
        "halt_max_steps": 4,
        "halt_exploration_prob": 0.5,
        "forward_dtype": torch.float32,
    }
    return ModelConfig(**{**settings, **changes})


def tiny_model(seed: int = 0, **changes: Any) -> ActModel:
    torch.manual_seed(seed)
    return build_model(tiny_config(**changes))


def random_batch(config: ModelConfig, rows: int, seed: int = 0) -> dict[str, Tensor]:
    """Random tokens; about a tenth of the labels is ignored; identifiers 0, 1, 2."""
    rng = np.random.default_rng(seed)
    shape = (rows, config.seq_len)
    labels = rng.integers(1, config.vocab_size, shape)
    labels[rng.random(shape) < 0.1] = IGNORED
    return {
        "inputs": torch.from_numpy(rng.integers(1, config.vocab_size, shape)).int(),
        "labels": torch.from_numpy(labels).int(),
        "puzzle_identifiers": torch.from_numpy(rng.integers(0, 3, rows)).int(),
    }


def no_exploration(rows: int) -> Draws:
    """Draws under which no slot explores, whatever the probability below 1."""
    return Draws(torch.ones(rows), torch.full((rows,), 2, dtype=torch.int32))


def exploring(rows: int, minimum: int) -> Draws:
    """Draws under which every slot explores (at any probability above 0) for `minimum` steps."""
    return Draws(torch.zeros(rows), torch.full((rows,), minimum, dtype=torch.int32))


def eval_steps(
    model: ActModel, table: PuzzleTable | None, batch: dict[str, Tensor]
) -> Iterator[tuple[Carry, Outputs]]:
    """Carry and outputs after each ACT step of a model in eval mode, by its own forward pass."""
    carry = refill(model.initial_carry(batch), batch)
    vectors = table.lookup(batch["puzzle_identifiers"]) if table else None
    for _ in range(model.config.halt_max_steps):
        with torch.no_grad():
            carry, outputs = model(carry, vectors)
        yield carry, outputs
