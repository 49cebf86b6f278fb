"""Running a model on a batch until every row has halted."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hrm_scale.models import ActModel, Carry, Outputs, refill
from hrm_scale.optim.puzzle_table import PuzzleTable


def rollout(
    model: ActModel, table: PuzzleTable | None, batch: dict[str, Tensor]
) -> Iterator[tuple[Carry, Outputs]]:
    """Yield carry and outputs after each ACT step, from a fresh carry to `halt_max_steps`.

    The model must be in eval mode, where no row halts early. Nothing outside is touched: not the
    training carry, not a random generator.
    """
    carry = refill(model.initial_carry(batch), batch)
    vectors = table.lookup(batch["puzzle_identifiers"]) if table else None
    for _ in range(model.config.halt_max_steps):
        with torch.no_grad():
            carry, outputs = model(carry, vectors)
        yield carry, outputs
