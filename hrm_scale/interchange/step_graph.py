"""One ACT step of a model as a graph of tensors alone: the state goes in, the new state comes out.

Inputs, in this order: `inputs` int32 [B, S]; `puzzle_vectors` fp32 [B, E] where the network has
puzzle embeddings; `fresh` bool [B]: rows that begin a puzzle, whose state is set to the start state
that the graph holds; one `z_...` fp32 [B, T, D] a level. Outputs: the `z_...` after the step, then
`logits` fp32 [B, S, V], `q_halt` and `q_continue` fp32 [B].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hrm_scale.models import ActModel
from hrm_scale.models.inference import Reasoner
from hrm_scale.models.recursion import full_depth

LEVELS = {1: ("z_H",), 2: ("z_H", "z_L")}


class StepGraph(nn.Module):
    """The step of `model` (in eval mode) with the signature above."""

    def __init__(self, model: ActModel) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        # Kept, not computed in the graph: a drawn start state needs what few runtimes have.
        starts = Reasoner(model).start(1, torch.device("cpu"))
        self.starts = nn.ParameterList(starts).requires_grad_(False)
        self.levels = LEVELS[len(starts)]
        self.has_vectors = model.config.puzzle_emb_ndim > 0

    @property
    def input_names(self) -> tuple[str, ...]:
        vectors = ("puzzle_vectors",) if self.has_vectors else ()
        return ("inputs", *vectors, "fresh", *self.levels)

    @property
    def output_names(self) -> tuple[str, ...]:
        return (*(f"{name}_next" for name in self.levels), "logits", "q_halt", "q_continue")

    def forward(self, inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """See the module."""
        vectors, (fresh, *z) = (rest[0], rest[1:]) if self.has_vectors else (None, rest)
        core = self.model.inner
        w = core.cast()
        new = fresh.view(-1, 1, 1)
        states = tuple(map(torch.where, [new] * len(z), self.starts, z))
        embedding = core.embed(w, inputs, vectors)
        states = core.reason(w, states, embedding, full_depth(self.model.config))
        return *states, core.logits(w, states), *core.q_values(w, states)

    def first(self, rows: int) -> tuple[Tensor, ...]:
        """`fresh` and the states before the first step, whose values do not matter."""
        config = self.model.config
        shape = (rows, config.total_len, config.hidden_size)
        return torch.ones(rows, dtype=torch.bool), *(torch.zeros(shape) for _ in self.levels)

    def example(self, rows: int) -> tuple[Tensor, ...]:
        """Arguments of the right shapes."""
        config = self.model.config
        vectors = (torch.zeros(rows, config.puzzle_emb_ndim),) if self.has_vectors else ()
        inputs = torch.zeros(rows, config.seq_len, dtype=torch.int32)
        return inputs, *vectors, *self.first(rows)

    @property
    def dynamic_shapes(self) -> dict[str, Any]:
        """Every first axis is the same number of rows, whatever it is."""
        axis = {0: torch.export.Dim("batch", min=1, max=1 << 20)}
        return {"inputs": axis, "rest": tuple(axis for _ in self.input_names[1:])}
